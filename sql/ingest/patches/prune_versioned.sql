-- Forgets patches of objects from before a time that are between a first and a last patch which say the same, for each field
-- that they send. The end of the history stays right even if a record arrives that is later than that. Patches at which a
-- version or a life begins stay, and so do tombstones.
-- Goes through the next keys of a source. Returns the last of them, how many patches there were, and how many it forgot; no row
-- once none is left. Parameters: source; before; after, the key to go on from; keys, how many.
WITH chosen AS (
    SELECT DISTINCT record_key FROM ingest.patches
    WHERE source = %(source)s AND dataset = '{dataset}' AND record_key > %(after)s AND object_modified_at < %(before)s
    ORDER BY record_key LIMIT %(keys)s
),
patches AS (
    SELECT p.*, whole OR (NOT deleted AND lag(deleted) OVER in_order) OR lag(object_id) OVER in_order IS NULL AS begins_life,
        lead(whole) OVER in_order AS whole_follows, lag(deleted) OVER in_order AS follows_tombstone
    FROM (
        SELECT ctid AS place, * FROM ingest.patches
        WHERE source = %(source)s AND dataset = '{dataset}' AND record_key = ANY ((SELECT array_agg(record_key) FROM chosen)::text[])
    ) p
    WINDOW in_order AS (PARTITION BY record_key ORDER BY source_updated_at, object_modified_at, object_id, ordinal)
),
lives AS (
    SELECT *, count(*) FILTER (WHERE begins_life) OVER (
        PARTITION BY record_key ORDER BY source_updated_at, object_modified_at, object_id, ordinal) AS life
    FROM patches
),
needed AS (   -- patches that are the first or the last to say something
    SELECT DISTINCT place
    FROM (
        SELECT place, value = lag(value) OVER of_field AND value = lead(value) OVER of_field AS is_between
        FROM lives l
        CROSS JOIN LATERAL (
            SELECT true AS has_column, key, value FROM jsonb_each(l.fields)
            UNION ALL
            SELECT false, key, value FROM jsonb_each(l.attributes)
        ) f
        WINDOW of_field AS (
            PARTITION BY record_key, life, has_column, key ORDER BY source_updated_at, object_modified_at, object_id, ordinal)
    ) f
    WHERE is_between IS NOT TRUE
),
removed AS (
    DELETE FROM ingest.patches p
    USING lives l
    WHERE p.ctid = l.place AND l.object_modified_at < %(before)s AND NOT l.deleted
      AND CASE WHEN l.whole THEN l.whole_follows AND NOT l.follows_tombstone
          ELSE NOT l.begins_life AND NOT EXISTS (SELECT FROM needed n WHERE n.place = l.place) END
      AND NOT EXISTS (
          SELECT FROM {table} e
          WHERE e.canonical_id = l.record_key
            AND ((e.object_id, e.ordinal) = (l.object_id, l.ordinal) OR EXISTS (
                SELECT FROM {versions} v
                WHERE v.{id} = e.{id} AND (v.object_id, v.ordinal) = (l.object_id, l.ordinal))))
    RETURNING 1
)
SELECT max(record_key), (SELECT count(*) FROM lives), (SELECT count(*) FROM removed) FROM chosen HAVING count(*) > 0
