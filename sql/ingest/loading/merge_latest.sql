-- Upserts the staged rows of a dataset without history: the greater position wins.
-- An unchanged row takes its new position, so that a late-arriving row between the two positions cannot win.
-- Returns the number of rows for each object and outcome: new, changed, unchanged, same (a replay), stale.
WITH merged AS (
    INSERT INTO {table} AS t (
        {identity},
        {state}, source_updated_at, object_modified_at, object_id, ordinal, content_hash)
    SELECT
        {identity},
        {state}, source_updated_at, object_modified_at, object_id, ordinal, content_hash
    FROM {incoming} WHERE NOT late
    ON CONFLICT ({key}) DO UPDATE SET
        {state = excluded.state},
        source_updated_at = EXCLUDED.source_updated_at, object_modified_at = EXCLUDED.object_modified_at,
        object_id = EXCLUDED.object_id, ordinal = EXCLUDED.ordinal, content_hash = EXCLUDED.content_hash{touch}
    WHERE (EXCLUDED.source_updated_at, EXCLUDED.object_modified_at, EXCLUDED.object_id, EXCLUDED.ordinal)
        > (t.source_updated_at, t.object_modified_at, t.object_id, t.ordinal)
       OR (t.object_id = EXCLUDED.object_id AND t.ordinal = EXCLUDED.ordinal AND t.content_hash <> EXCLUDED.content_hash)
    RETURNING new.object_id, new.ordinal, new.deleted, CASE
        WHEN old.object_id IS NULL THEN 'new'
        WHEN old.content_hash = new.content_hash THEN 'unchanged'
        ELSE 'changed' END AS outcome
)
SELECT i.object_id,
       CASE
           WHEN m.outcome IS NOT NULL THEN m.outcome
           WHEN EXISTS (
               SELECT FROM {table} t
               WHERE ({t.key})
                   = ({i.key})
                 AND (t.object_id, t.ordinal) = (i.object_id, i.ordinal)) THEN 'same'
           ELSE 'stale' END AS outcome,
       count(*) AS rows, count(*) FILTER (WHERE i.deleted) AS deleted
FROM {incoming} i
LEFT JOIN merged m USING (object_id, ordinal)
GROUP BY 1, 2
