-- Returns objects that wait to be loaded, oldest first: new objects, and objects whose claim expired or whose worker died.
-- Parameter: limit.
SELECT object_id, source, dataset, key, size
FROM ingest.objects
WHERE state = 'discovered'
   OR (state = 'claimed' AND (claim_expires_at < now() OR NOT ingest.worker_is_alive(claimed_by)))
ORDER BY discovered_at, object_id
LIMIT %(limit)s
