-- Objects of one source that wait and belong to no active run, oldest first, locked until they are given to a batch.
-- An object whose run ended without it is tried again after a pause, which grows with each attempt. An object whose worker
-- died is free at once. Parameters: source; suspects, whether objects that a dead worker had open are meant, or the others;
-- live, the batches of active runs; pause, seconds; limit.
SELECT object_id, (discovered_at AT TIME ZONE 'UTC')::date AS day, size
FROM ingest.objects
WHERE source = %(source)s AND (suspect OR opened_with IS NOT NULL) = %(suspects)s
  AND (state = 'discovered'
       OR (state = 'claimed' AND (claim_expires_at < now() OR NOT ingest.worker_is_alive(claimed_by))))
  AND (batch IS NULL
       OR (state = 'claimed' AND started_at > batched_at)
       OR (batch <> ALL (%(live)s::text[])
           AND batched_at < now() - make_interval(secs => %(pause)s * 2 ^ least(attempts, 5))))
ORDER BY discovered_at, object_id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
