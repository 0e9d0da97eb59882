-- Releases a worker's objects after a transient error. After `max_attempts` attempts, an object fails. An object that was loaded
-- before its replay returns to its earlier state instead.
-- Parameters: object_ids, worker, max_attempts, error_code, error_message.
UPDATE ingest.objects SET
    state = CASE WHEN attempts >= %(max_attempts)s THEN coalesce(loaded_as, 'failed') ELSE 'discovered' END,
    loaded_as = CASE WHEN attempts < %(max_attempts)s THEN loaded_as END,
    finished_at = CASE WHEN attempts >= %(max_attempts)s THEN now() END,
    claimed_by = NULL, claim_expires_at = NULL, opened_with = NULL,
    error_code = %(error_code)s, error_message = %(error_message)s
WHERE object_id = ANY (%(object_ids)s) AND state = 'claimed' AND claimed_by = %(worker)s
RETURNING object_id, state
