-- table: canonical.entities
-- severity: warn
-- Canonical ids that differ only in case or in white space: one customer that its source writes in two ways.
SELECT source, lower(btrim(source_id)) AS same_id, count(*) AS entities, array_agg(canonical_id ORDER BY canonical_id) AS canonical_ids
FROM canonical.entities
WHERE NOT deleted
GROUP BY source, lower(btrim(source_id))
HAVING count(*) > 1
ORDER BY entities DESC, source, same_id
