-- Claims objects for a worker. Skips objects that another worker is loading: its transaction locks them.
-- If a worker died while it had an object open, the object becomes a suspect. If that worker had opened several objects together,
-- it is not known which of them caused the death, so the attempt does not count.
-- Parameters: object_ids, worker, run_id, seconds.
UPDATE ingest.objects SET
    state = 'claimed', claimed_by = %(worker)s, run_id = %(run_id)s,
    claim_expires_at = now() + make_interval(secs => %(seconds)s),
    suspect = suspect OR opened_with IS NOT NULL,
    attempts = attempts - (coalesce(opened_with, 0) > 1)::integer,
    opened_with = NULL,
    started_at = now(), finished_at = NULL,
    error_code = NULL, error_message = NULL, error_line = NULL, error_column = NULL
WHERE object_id IN (
    SELECT object_id FROM ingest.objects
    WHERE object_id = ANY (%(object_ids)s)
      AND (state = 'discovered'
           OR (state = 'claimed' AND (claim_expires_at < now() OR NOT ingest.worker_is_alive(claimed_by))))
    ORDER BY object_id
    FOR UPDATE SKIP LOCKED)
RETURNING object_id, bucket, key, version, versioned, size, source, dataset, attempts, replayed,
    loaded_as IS NOT NULL AS loaded_before, suspect
