-- Returns and locks waiting objects of one source that belong to no unfinished run, oldest first.
-- If a run ended without loading an object, the object waits for a pause that grows with each attempt. If a worker died, its
-- objects are available at once.
-- Parameters: source; suspects, whether to return suspects or all other objects; live, the batches of unfinished runs; pause, in
-- seconds; limit.
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
