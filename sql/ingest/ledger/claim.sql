-- Gives objects to a worker. One that is being loaded is locked by its worker's transaction, however long that takes, and
-- passed over. Parameters: object_ids, worker, run_id, seconds.
UPDATE ingest.objects SET
    state = 'claimed', claimed_by = %(worker)s, run_id = %(run_id)s, attempts = attempts + 1,
    claim_expires_at = now() + make_interval(secs => %(seconds)s),
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
    loaded_as IS NOT NULL AS loaded_before
