-- Gives objects to a worker. An object that is being loaded is locked by the transaction of its worker, however long that
-- takes, and is skipped. An object whose worker died while it had it open becomes a suspect. If the worker had opened several
-- objects together, none of them is known to be guilty, so the attempt does not count.
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
