-- Forgets confirmations between the beginning of a state and its last confirmation, from objects of before a time: a row
-- that is later still would find the state ending a little earlier than it did. The last confirmation of each state stays.
-- Goes through the next blocks of a source, and returns the last of them, how many confirmations it forgot, of how many,
-- and in how many blocks; no row once none is left. Whoever runs this has the source's turn.
-- Parameters: source, before, after: the block to go on from, blocks: how many.
WITH chosen AS (
    SELECT DISTINCT block FROM canonical.entity_confirmation_blocks
    WHERE source = %(source)s AND object_modified_at < %(before)s AND block > %(after)s
    ORDER BY block LIMIT %(blocks)s
),
said AS (
    SELECT b.ctid AS place, c.entity_id, c.source_updated_at, c.ordinal, b.object_modified_at, b.object_id, b.mapping_version
    FROM canonical.entity_confirmation_blocks b
    CROSS JOIN LATERAL unnest(b.entity_ids, b.source_updated_ats, b.ordinals) AS c (entity_id, source_updated_at, ordinal)
    WHERE b.block = ANY ((SELECT array_agg(block) FROM chosen)::bigint[]) AND b.source = %(source)s
),
entities AS (
    SELECT array_agg(DISTINCT entity_id) AS ids FROM said
),
ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY entity_id, object_id ORDER BY mapping_version DESC, source_updated_at DESC, ordinal DESC) AS nth
    FROM (
        SELECT * FROM said
        UNION ALL
        SELECT NULL, entity_id, source_updated_at, ordinal, object_modified_at, object_id, mapping_version
        FROM canonical.entities WHERE entity_id = ANY ((SELECT ids FROM entities)::bigint[])
        UNION ALL
        SELECT NULL, entity_id, source_updated_at, ordinal, object_modified_at, object_id, mapping_version
        FROM canonical.entity_versions WHERE entity_id = ANY ((SELECT ids FROM entities)::bigint[])
    ) s
),
in_order AS (   -- what an object said before it said something else counts for nothing
    SELECT *, lead(place IS NULL) OVER (
        PARTITION BY entity_id, place IS NULL OR nth = 1
        ORDER BY source_updated_at, object_modified_at, object_id) AS a_state_follows
    FROM ranked
),
remaining AS (
    SELECT place,
           count(*) FILTER (WHERE pruned) AS pruned,
           max(source_updated_at) FILTER (WHERE NOT pruned) AS latest_updated_at,
           array_agg(entity_id) FILTER (WHERE NOT pruned) AS entity_ids,
           array_agg(source_updated_at) FILTER (WHERE NOT pruned) AS source_updated_ats,
           array_agg(ordinal) FILTER (WHERE NOT pruned) AS ordinals
    FROM (
        SELECT *, object_modified_at < %(before)s AND (nth > 1 OR a_state_follows IS FALSE) AS pruned
        FROM in_order WHERE place IS NOT NULL
    ) judged
    GROUP BY place HAVING bool_or(pruned)
),
emptied AS (
    DELETE FROM canonical.entity_confirmation_blocks b USING remaining r WHERE b.ctid = r.place AND r.entity_ids IS NULL
),
shortened AS (
    UPDATE canonical.entity_confirmation_blocks b SET
        latest_updated_at = r.latest_updated_at, entity_ids = r.entity_ids, source_updated_ats = r.source_updated_ats,
        ordinals = r.ordinals
    FROM remaining r WHERE b.ctid = r.place AND r.entity_ids IS NOT NULL
)
SELECT max(block), (SELECT coalesce(sum(pruned), 0) FROM remaining)::bigint, (SELECT count(*) FROM said), count(*)
FROM chosen HAVING count(*) > 0
