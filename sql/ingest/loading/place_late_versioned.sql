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
-- If the dataset has marks of snapshots, `walked` has the entities and `marks` their marks, and all confirmations of these
-- entities are read. A mark has no content of its own. If the entity exists and is absent from the snapshot, the mark begins a
-- deleted version with the content of the last row that was no tombstone. If the entity is deleted and the snapshot has it,
-- the mark brings that content back. Other marks change nothing. Versions that marks began before are computed again.
--
-- origin: 0, a late row; 1, a version; 2, a confirmation; 3, a mark.
INSERT INTO {timeline} (
    {id}, begins, origin, content_of, late_object_id, late_ordinal, absent, is_stored, version, valid_to,
    source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash)
WITH stored AS (
    -- One index scan, and the same join as in probe_versioned.sql.
    SELECT * FROM (
        SELECT
            canonical_id, {id}, version, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
            content_hash, deleted
        FROM {table}
        WHERE canonical_id = ANY ((SELECT array_agg(canonical_id) FROM {late})::text[]) OFFSET 0
    ) e
    UNION ALL
    SELECT
        canonical_id, {id}, version, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        content_hash, deleted
    FROM {table}
    WHERE {id} = ANY ((SELECT array_agg({id}) FROM {walked})::bigint[]) AND NOT EXISTS (SELECT FROM {late})
),
late AS (
    SELECT * FROM (
        SELECT
            e.{id}, l.source_updated_at, l.object_modified_at, l.object_id, l.ordinal, l.mapping_version, l.content_hash,
            l.deleted
        FROM {late} l FULL JOIN stored e ON e.canonical_id = l.canonical_id
        OFFSET 0
    ) l
    WHERE object_id IS NOT NULL   -- a snapshot is closed: there are no late rows
),
states AS (
    SELECT
        {id}, version, NULL AS valid_to, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        content_hash, deleted
    FROM stored
    UNION ALL
    SELECT
        {id}, version, valid_to, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash,
        deleted
    FROM {versions}
    WHERE {id} = ANY ((SELECT array_agg({id}) FROM stored)::bigint[])
),
own AS (
    SELECT c.*
    FROM (
        SELECT canonical.confirmation_block({id}) AS block, object_id, array_agg({id}) AS {ids}
        FROM late WHERE NOT EXISTS (SELECT FROM {walked}) GROUP BY 1, 2
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
    WHERE of_late AND NOT EXISTS (SELECT FROM {walked})
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
confirmed AS (
    TABLE own UNION TABLE following
    UNION ALL
    SELECT c.*
    FROM (
        SELECT canonical.confirmation_block({id}) AS block, array_agg({id}) AS {ids} FROM {walked} GROUP BY 1
    ) w
    CROSS JOIN LATERAL (
        SELECT {id}, source_updated_at, object_modified_at, object_id, ordinal, mapping_version
        FROM {confirmations} c
        WHERE c.block = w.block AND c.{id} = ANY (w.{ids}) OFFSET 0
    ) c
),
in_order AS (   -- each confirmation after the version that it confirmed
    SELECT *, max(version) OVER (
        PARTITION BY {id} ORDER BY source_updated_at, object_modified_at, object_id, origin) AS latest_version
    FROM (
        SELECT {id}, 1 AS origin, version, valid_to, source_updated_at, object_modified_at, object_id, ordinal,
            mapping_version, content_hash, deleted
        FROM states
        UNION ALL
        SELECT {id}, 2, NULL, NULL, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, NULL, NULL
        FROM confirmed
    ) s
),
said AS (
    SELECT {id}, origin, version, valid_to, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        first_value(content_hash) OVER confirmed AS content_hash,
        first_value(mapping_version) OVER confirmed AS content_mapping,
        first_value(deleted) OVER confirmed AS deleted,
        first_value(CASE WHEN valid_to IS NOT NULL THEN version END) OVER confirmed AS content_of
    FROM in_order WHERE latest_version IS NOT NULL
    WINDOW confirmed AS (PARTITION BY {id}, latest_version ORDER BY origin)
    UNION ALL
    SELECT {id}, 0, NULL, NULL, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        content_hash, mapping_version, deleted, NULL
    FROM late
),
once AS (
    SELECT DISTINCT ON ({id}, object_id) *
    FROM said ORDER BY {id}, object_id, mapping_version DESC, source_updated_at DESC, ordinal DESC, origin
),
told AS (   -- rows and marks; states of marks are computed again
    SELECT {id}, origin, version, valid_to, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        content_hash, content_mapping, content_of, deleted, NULL AS present
    FROM once
    WHERE EXISTS (SELECT FROM {walked}) AND NOT (origin = 1 AND object_id < 0)
    UNION ALL
    SELECT {id}, 3, NULL, NULL, as_of, as_of + interval '1 microsecond', snapshot_id, 0, NULL, NULL, NULL, NULL, NULL, present
    FROM {marks}
),
counted AS (
    SELECT *,
        count(*) FILTER (WHERE NOT deleted) OVER in_order AS nth_live,
        count(*) FILTER (WHERE present IS NOT FALSE) OVER in_order AS nth_not_absent
    FROM told
    WINDOW in_order AS (PARTITION BY {id} ORDER BY source_updated_at, object_modified_at, object_id)
),
looking_back AS (   -- from a mark: at the last row that is no tombstone, and at whether a tombstone came after it
    SELECT *,
        first_value(mapping_version) OVER live AS live_mapping_version,
        first_value(content_hash) OVER live AS live_content_hash,
        first_value(content_mapping) OVER live AS live_content_mapping,
        first_value(content_of) OVER live AS live_content_of,
        first_value(CASE WHEN origin = 0 THEN object_id END) OVER live AS live_object_id,
        first_value(CASE WHEN origin = 0 THEN ordinal END) OVER live AS live_ordinal,
        first_value(deleted) OVER not_absent AS is_deleted
    FROM counted
    WINDOW
        live AS (PARTITION BY {id}, nth_live ORDER BY source_updated_at, object_modified_at, object_id),
        not_absent AS (PARTITION BY {id}, nth_not_absent ORDER BY source_updated_at, object_modified_at, object_id)
),
filled AS (
    SELECT {id}, origin, version, valid_to, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        content_hash, content_mapping, content_of,
        CASE WHEN origin = 0 THEN object_id END AS late_object_id, CASE WHEN origin = 0 THEN ordinal END AS late_ordinal,
        false AS absent
    FROM once
    WHERE NOT EXISTS (SELECT FROM {walked})
    UNION ALL
    SELECT {id}, origin, version, valid_to, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        content_hash, content_mapping, content_of,
        CASE WHEN origin = 0 THEN object_id END, CASE WHEN origin = 0 THEN ordinal END, false
    FROM told WHERE origin < 3
    UNION ALL
    SELECT {id}, origin, NULL, NULL, source_updated_at, object_modified_at, object_id, ordinal, live_mapping_version,
        CASE WHEN present THEN live_content_hash ELSE md5(live_content_hash::text)::uuid END,
        live_content_mapping, live_content_of, live_object_id, live_ordinal, NOT present
    FROM looking_back
    WHERE origin = 3 AND nth_live > 0 AND (present OR is_deleted IS NOT TRUE)
),
neighbours AS (
    SELECT *,
        lag(content_hash) OVER in_order AS previous_hash, lag(content_mapping) OVER in_order AS previous_mapping,
        lag(content_of) OVER in_order AS previous_content_of, lag(late_object_id) OVER in_order AS previous_late_object_id,
        lag(late_ordinal) OVER in_order AS previous_late_ordinal, lag(absent) OVER in_order AS previous_absent
    FROM filled
    WINDOW in_order AS (PARTITION BY {id} ORDER BY source_updated_at, object_modified_at, object_id)
),
compared AS (   -- as in merge_versioned.sql: mappings may compute different hashes for the same content, then columns decide
    SELECT *, CASE
        WHEN content_hash = previous_hash THEN false
        WHEN previous_hash IS NULL OR content_mapping = previous_mapping OR absent <> previous_absent THEN true
        ELSE NOT EXISTS (
            SELECT
            FROM (
                SELECT {state} FROM {late} l WHERE (l.object_id, l.ordinal) = (n.late_object_id, n.late_ordinal)
                UNION ALL
                SELECT {state} FROM {table} t WHERE n.late_object_id IS NULL AND n.content_of IS NULL AND t.{id} = n.{id}
                UNION ALL
                SELECT {state} FROM {versions} v WHERE (v.{id}, v.version) = (n.{id}, n.content_of)
            ) s, (
                SELECT {state} FROM {late} l
                WHERE (l.object_id, l.ordinal) = (n.previous_late_object_id, n.previous_late_ordinal)
                UNION ALL
                SELECT {state} FROM {table} t
                WHERE n.previous_late_object_id IS NULL AND n.previous_content_of IS NULL AND t.{id} = n.{id}
                UNION ALL
                SELECT {state} FROM {versions} v WHERE (v.{id}, v.version) = (n.{id}, n.previous_content_of)
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
SELECT {id}, begins, origin, content_of, late_object_id, late_ordinal, absent,
    begins AND origin = 1 AND version = nth AND valid_to IS NOT DISTINCT FROM until,
    nth, until, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash
FROM valid
WHERE begins OR origin < 3
