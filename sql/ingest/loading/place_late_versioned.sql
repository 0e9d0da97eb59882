-- Computes the timeline of each entity that has late rows, as if all its rows had arrived in the order of their positions.
--
-- The rows of an entity are its versions (the current one and earlier ones), their confirmations and the late rows. For each
-- object, one row counts: among the rows of its newest mapping, the row with the greatest (source_updated_at, ordinal). So a
-- replay with a changed mapping replaces the earlier row of its object. In the order of positions, a row that differs from the
-- row before begins a version. The other rows confirm it.
--
-- An entity can have thousands of confirmations, and few of them are read. A confirmation that still follows the same row stays
-- as it is, whatever version the row belongs to. Two kinds can change: confirmations by the objects of late rows, and the first
-- confirmation after each position where a row is added or removed, because it may begin a version now.
--
-- origin: 0, a late row; 1, a version; 2, a confirmation.
INSERT INTO {timeline} (
    {id}, begins, origin, content_of, is_stored, version, valid_to,
    source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash)
WITH stored AS (
    -- One index scan, and the same join as in probe_versioned.sql.
    SELECT
        canonical_id, {id}, version, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        content_hash
    FROM {table}
    WHERE canonical_id = ANY ((SELECT array_agg(canonical_id) FROM {late})::text[]) OFFSET 0
),
late AS (
    SELECT e.{id}, l.source_updated_at, l.object_modified_at, l.object_id, l.ordinal, l.mapping_version, l.content_hash
    FROM {late} l FULL JOIN stored e ON e.canonical_id = l.canonical_id
),
states AS (
    SELECT
        {id}, version, NULL AS valid_to, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        content_hash
    FROM stored
    UNION ALL
    SELECT
        {id}, version, valid_to, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash
    FROM {versions}
    WHERE {id} = ANY ((SELECT array_agg({id}) FROM stored)::bigint[])
),
own AS (
    SELECT c.*
    FROM (
        SELECT canonical.confirmation_block({id}) AS block, object_id, array_agg({id}) AS {ids}
        FROM late GROUP BY 1, 2
    ) l
    CROSS JOIN LATERAL (
        SELECT {id}, source_updated_at, object_modified_at, object_id, ordinal, mapping_version
        FROM {confirmations} c
        WHERE c.block = l.block AND c.object_id = l.object_id AND c.{id} = ANY (l.{ids}) OFFSET 0
    ) c
),
places AS (   -- positions where a row may be added or removed
    SELECT {id}, source_updated_at, object_modified_at, object_id
    FROM (
        SELECT *, bool_or(late) OVER (PARTITION BY {id}, object_id) AS of_late
        FROM (
            SELECT false AS late, {id}, source_updated_at, object_modified_at, object_id FROM states
            UNION ALL
            SELECT true, {id}, source_updated_at, object_modified_at, object_id FROM late
        ) s
    ) s
    WHERE of_late
    UNION
    SELECT {id}, source_updated_at, object_modified_at, object_id FROM own
),
following AS (
    SELECT p.{id}, c.*
    FROM places p
    CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT
                source_updated_ats[place] AS source_updated_at, object_modified_at, object_id, ordinals[place] AS ordinal,
                mapping_version
            FROM (   -- a block has an entity at most once
                SELECT *, array_position({ids}, p.{id}) AS place
                FROM {blocks}
                WHERE block = canonical.confirmation_block(p.{id}) AND latest_updated_at >= p.source_updated_at
                OFFSET 0
            ) b
            WHERE (source_updated_ats[place], object_modified_at, object_id)
                > (p.source_updated_at, p.object_modified_at, p.object_id)
            ORDER BY 1, 2, 3 OFFSET 0
        ) c
        WHERE NOT EXISTS (   -- another row of the object counts; checked row by row, until a row counts
            SELECT FROM {blocks} o, array_position(o.{ids}, p.{id}) AS place
            WHERE o.block = canonical.confirmation_block(p.{id}) AND o.object_id = c.object_id AND place IS NOT NULL
              AND (o.mapping_version, o.source_updated_ats[place], o.ordinals[place])
                > (c.mapping_version, c.source_updated_at, c.ordinal)
            OFFSET 0)
        ORDER BY 1, 2, 3 LIMIT 1
    ) c
),
in_order AS (   -- each confirmation after the version that it confirmed
    SELECT *, max(version) OVER (
        PARTITION BY {id} ORDER BY source_updated_at, object_modified_at, object_id, origin) AS latest_version
    FROM (
        SELECT {id}, 1 AS origin, version, valid_to, source_updated_at, object_modified_at, object_id, ordinal,
            mapping_version, content_hash
        FROM states
        UNION ALL
        SELECT {id}, 2, NULL, NULL, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, NULL
        FROM (TABLE own UNION TABLE following) c
    ) s
),
said AS (
    SELECT {id}, origin, version, valid_to, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        first_value(content_hash) OVER confirmed AS content_hash,
        first_value(mapping_version) OVER confirmed AS content_mapping,
        first_value(CASE WHEN valid_to IS NOT NULL THEN version END) OVER confirmed AS content_of
    FROM in_order WHERE latest_version IS NOT NULL
    WINDOW confirmed AS (PARTITION BY {id}, latest_version ORDER BY origin)
    UNION ALL
    SELECT {id}, 0, NULL, NULL, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        content_hash, mapping_version, NULL
    FROM late
),
once AS (
    SELECT DISTINCT ON ({id}, object_id) *
    FROM said ORDER BY {id}, object_id, mapping_version DESC, source_updated_at DESC, ordinal DESC, origin
),
neighbours AS (
    SELECT *,
        lag(content_hash) OVER in_order AS previous_hash, lag(content_mapping) OVER in_order AS previous_mapping,
        lag(origin) OVER in_order AS previous_origin, lag(content_of) OVER in_order AS previous_content_of,
        lag(object_id) OVER in_order AS previous_object_id, lag(ordinal) OVER in_order AS previous_ordinal
    FROM once
    WINDOW in_order AS (PARTITION BY {id} ORDER BY source_updated_at, object_modified_at, object_id)
),
compared AS (   -- as in merge_versioned.sql: mappings may compute different hashes for the same content, then columns decide
    SELECT *, CASE
        WHEN content_hash = previous_hash THEN false
        WHEN previous_hash IS NULL OR content_mapping = previous_mapping THEN true
        ELSE NOT EXISTS (
            SELECT
            FROM (
                SELECT {state} FROM {late} l
                WHERE n.origin = 0 AND (l.object_id, l.ordinal) = (n.object_id, n.ordinal)
                UNION ALL
                SELECT {state} FROM {table} t WHERE n.origin > 0 AND n.content_of IS NULL AND t.{id} = n.{id}
                UNION ALL
                SELECT {state} FROM {versions} v WHERE n.origin > 0 AND (v.{id}, v.version) = (n.{id}, n.content_of)
            ) s, (
                SELECT {state} FROM {late} l
                WHERE n.previous_origin = 0
                  AND (l.object_id, l.ordinal) = (n.previous_object_id, n.previous_ordinal)
                UNION ALL
                SELECT {state} FROM {table} t
                WHERE n.previous_origin > 0 AND n.previous_content_of IS NULL AND t.{id} = n.{id}
                UNION ALL
                SELECT {state} FROM {versions} v
                WHERE n.previous_origin > 0 AND (v.{id}, v.version) = (n.{id}, n.previous_content_of)
            ) e
            WHERE ({s.state}) IS NOT DISTINCT FROM ({e.state}))
        END AS begins
    FROM neighbours n
),
numbered AS (
    SELECT *, count(*) FILTER (WHERE begins) OVER in_order AS nth
    FROM compared
    WINDOW in_order AS (PARTITION BY {id} ORDER BY source_updated_at, object_modified_at, object_id)
),
valid AS (
    SELECT *, lead(source_updated_at) OVER (PARTITION BY {id}, begins ORDER BY nth) AS until FROM numbered
)
SELECT {id}, begins, origin, content_of, begins AND origin = 1 AND version = nth AND valid_to IS NOT DISTINCT FROM until,
    nth, until, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash
FROM valid
