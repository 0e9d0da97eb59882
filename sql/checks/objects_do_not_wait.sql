-- table: ingest.objects
-- severity: warn
-- Objects that were discovered more than a quarter of an hour ago and are still in line.
SELECT object_id, key, state, attempts, discovered_at, batch, batched_at, error_message
FROM ingest.objects
WHERE state IN ('discovered', 'claimed') AND NOT replayed AND discovered_at < now() - interval '15 minutes'
ORDER BY discovered_at, object_id
