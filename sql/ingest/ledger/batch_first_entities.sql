-- Returns a few of the entities that a batch has loaded, in their current version.
-- Parameters: object_ids and keys, arrays of the same length: a loaded object and the key of one of its rows; limit.
-- Objects of other datasets may have the same keys, so they are left out.
SELECT e.canonical_id, e.name, e.entity_type, e.industry, e.country, e.revenue, e.employees, e.version, e.source_updated_at
FROM (
    SELECT k.key AS canonical_id, min(k.place) AS place
    FROM unnest(%(object_ids)s::bigint[], %(keys)s::text[]) WITH ORDINALITY AS k (object_id, key, place)
    JOIN ingest.objects o ON o.object_id = k.object_id AND o.dataset = 'entities'
    GROUP BY k.key
) k
JOIN canonical.entities e USING (canonical_id)
ORDER BY k.place LIMIT %(limit)s
