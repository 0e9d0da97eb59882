-- In how many of the entities that an object changed each column differs from before; attributes by their names.
-- Parameters: object_id; provenance, the columns that are no fields of an entity.
WITH pairs AS (
    SELECT to_jsonb(e) - %(provenance)s::text[] || e.attributes AS now,
           to_jsonb(v) - %(provenance)s::text[] || v.attributes AS before
    FROM canonical.entities e JOIN canonical.entity_versions v ON v.entity_id = e.entity_id AND v.version = e.version - 1
    WHERE e.object_id = %(object_id)s
)
SELECT key, count(*) AS entities
FROM pairs CROSS JOIN LATERAL (
    SELECT key
    FROM jsonb_each(pairs.now) n FULL JOIN jsonb_each(pairs.before) b USING (key)
    WHERE n.value IS DISTINCT FROM b.value AND NOT (coalesce(n.value, 'null') = 'null' AND coalesce(b.value, 'null') = 'null')
) c
GROUP BY key ORDER BY entities DESC, key
