-- Objects that wait to be loaded, oldest first: new ones, and those whose worker died or let its claim run out.
SELECT object_id, source, dataset, key, size
FROM ingest.objects
WHERE state = 'discovered'
   OR (state = 'claimed' AND (claim_expires_at < now() OR NOT ingest.worker_is_alive(claimed_by)))
ORDER BY discovered_at, object_id
LIMIT %(limit)s
