-- Writes the error of an object that was loaded before and fails now. Its data, state and counts stay.
UPDATE ingest.objects SET
    state = loaded_as, loaded_as = NULL, claimed_by = NULL, claim_expires_at = NULL, finished_at = clock_timestamp(),
    opened_with = NULL, suspect = false,
    error_code = %(error_code)s,
    error_message = 'a replay was refused, what was loaded before stays: ' || %(error_message)s,
    error_line = %(error_line)s, error_column = %(error_column)s
WHERE object_id = %(object_id)s AND state = 'claimed' AND claimed_by = %(worker)s AND loaded_as IS NOT NULL
