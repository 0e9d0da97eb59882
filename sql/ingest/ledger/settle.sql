-- Writes the outcome of an object. Requires: the transaction that writes its data.
UPDATE ingest.objects SET
    state = %(state)s, loaded_as = NULL, claimed_by = NULL, claim_expires_at = NULL, finished_at = clock_timestamp(),
    opened_with = NULL, suspect = false,
    last_modified = coalesce(%(last_modified)s, last_modified), format = %(format)s,
    records = %(records)s, inserted = %(inserted)s, updated = %(updated)s, unchanged = %(unchanged)s, stale = %(stale)s,
    rejected = %(rejected)s, fields_unread = %(fields_unread)s, deleted = %(deleted)s,
    column_set_id = %(column_set_id)s, reading = %(reading)s::jsonb, vanished = NULL,
    error_code = %(error_code)s, error_message = %(error_message)s,
    error_line = %(error_line)s, error_column = %(error_column)s
WHERE object_id = %(object_id)s AND state = 'claimed' AND claimed_by = %(worker)s
