-- table: canonical.entities
-- severity: warn
-- IDs of which a partial source has sent records for more than a day, but never all that an entity needs, such as its name.
--
-- The records are kept. The entity appears once the rest is loaded. Usually the first export in full is missing.
SELECT record_key AS canonical_id, source, count(*) AS records, min(object_modified_at) AS since
FROM ingest.patches p
WHERE dataset = 'entities' AND NOT EXISTS (SELECT FROM canonical.entities e WHERE e.canonical_id = p.record_key)
GROUP BY record_key, source
HAVING min(object_modified_at) < now() - interval '1 day'
ORDER BY since, record_key
