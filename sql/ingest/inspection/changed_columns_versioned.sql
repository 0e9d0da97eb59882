-- Counts, for each column, the rows that an object changed and in which the column differs from before, and the rows in which
-- the column became empty. Attributes count under their own names.
-- Parameters: object_id; provenance, the columns that are no fields of a record.
WITH pairs AS (
    SELECT to_jsonb(e) - %(provenance)s::text[] || {e.rest} AS now,
           to_jsonb(v) - %(provenance)s::text[] || {v.rest} AS before
    FROM {table} e JOIN {versions} v ON v.{id} = e.{id} AND v.version = e.version - 1
    WHERE e.object_id = %(object_id)s
)
SELECT key, count(*) AS rows, count(*) FILTER (WHERE is_empty) AS emptied
FROM pairs CROSS JOIN LATERAL (
    SELECT key, coalesce(n.value, 'null') = 'null' AS is_empty
    FROM jsonb_each(pairs.now) n FULL JOIN jsonb_each(pairs.before) b USING (key)
    WHERE n.value IS DISTINCT FROM b.value AND NOT (coalesce(n.value, 'null') = 'null' AND coalesce(b.value, 'null') = 'null')
) c
GROUP BY key ORDER BY rows DESC, key
