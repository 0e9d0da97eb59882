-- Objects of one source that wait and are no living run's, oldest first, locked until they are given to a batch.
-- One whose run ended without it is tried again after a while, longer with each attempt. One whose worker died while it
-- had it is free at once. Parameters: source; live, the batches of living runs; pause, seconds; limit.
SELECT object_id, (discovered_at AT TIME ZONE 'UTC')::date AS day, size
FROM ingest.objects
WHERE source = %(source)s
  AND (state = 'discovered'
       OR (state = 'claimed' AND (claim_expires_at < now() OR NOT ingest.worker_is_alive(claimed_by))))
  AND (batch IS NULL
       OR (state = 'claimed' AND started_at > batched_at)
       OR (batch <> ALL (%(live)s::text[])
           AND batched_at < now() - make_interval(secs => %(pause)s * 2 ^ least(attempts, 5))))
ORDER BY discovered_at, object_id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
