-- Recomputes the timeline of each entity that late rows speak of, as if all its rows had come in their right order.
--
-- All that was ever said of an entity is its states (current and earlier), their confirmations and the late rows. Of one
-- object, the greatest (source_updated_at, ordinal) counts, among those that the newest mapping read: a replay after a
-- mapping was changed replaces what the object said before. In the order of their positions, a row that differs from the
-- one before begins a state; the others confirm it.
--
-- Few of the confirmations take part, of which there may be thousands: one that comes after the same row as before still
-- confirms it, whatever version that belongs to, and stays as it is. Those of the objects of late rows may go, and the
-- first one behind each place where a row comes or goes may begin a state now.
INSERT INTO timeline (
    entity_id, begins, origin, content_of, stands, version, valid_to,
    source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash)
WITH stored AS (
    -- One walk through the index, as in probe_entities.sql; and joined as there.
    SELECT
        canonical_id, entity_id, version, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        content_hash
    FROM canonical.entities
    WHERE canonical_id = ANY ((SELECT array_agg(canonical_id) FROM late_entities)::text[]) OFFSET 0
),
late AS (
    SELECT e.entity_id, l.source_updated_at, l.object_modified_at, l.object_id, l.ordinal, l.mapping_version, l.content_hash
    FROM late_entities l FULL JOIN stored e ON e.canonical_id = l.canonical_id
),
states AS (
    SELECT
        entity_id, version, NULL AS valid_to, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        content_hash
    FROM stored
    UNION ALL
    SELECT
        entity_id, version, valid_to, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash
    FROM canonical.entity_versions
    WHERE entity_id = ANY ((SELECT array_agg(entity_id) FROM stored)::bigint[])
),
own AS (
    SELECT c.*
    FROM (
        SELECT canonical.confirmation_block(entity_id) AS block, object_id, array_agg(entity_id) AS entity_ids
        FROM late GROUP BY 1, 2
    ) l
    CROSS JOIN LATERAL (
        SELECT entity_id, source_updated_at, object_modified_at, object_id, ordinal, mapping_version
        FROM canonical.entity_confirmations c
        WHERE c.block = l.block AND c.object_id = l.object_id AND c.entity_id = ANY (l.entity_ids) OFFSET 0
    ) c
),
places AS (   -- where a row may come or go
    SELECT entity_id, source_updated_at, object_modified_at, object_id
    FROM (
        SELECT *, bool_or(late) OVER (PARTITION BY entity_id, object_id) AS of_late
        FROM (
            SELECT false AS late, entity_id, source_updated_at, object_modified_at, object_id FROM states
            UNION ALL
            SELECT true, entity_id, source_updated_at, object_modified_at, object_id FROM late
        ) s
    ) s
    WHERE of_late
    UNION
    SELECT entity_id, source_updated_at, object_modified_at, object_id FROM own
),
following AS (
    SELECT p.entity_id, c.*
    FROM places p
    CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT
                source_updated_ats[place] AS source_updated_at, object_modified_at, object_id, ordinals[place] AS ordinal,
                mapping_version
            FROM (   -- a row speaks of an entity once
                SELECT *, array_position(entity_ids, p.entity_id) AS place
                FROM canonical.entity_confirmation_blocks
                WHERE block = canonical.confirmation_block(p.entity_id) AND latest_updated_at >= p.source_updated_at
                OFFSET 0
            ) b
            WHERE (source_updated_ats[place], object_modified_at, object_id)
                > (p.source_updated_at, p.object_modified_at, p.object_id)
            ORDER BY 1, 2, 3 OFFSET 0
        ) c
        WHERE NOT EXISTS (   -- the object says otherwise elsewhere; asked for one after the other, until one counts
            SELECT FROM canonical.entity_confirmation_blocks o, array_position(o.entity_ids, p.entity_id) AS place
            WHERE o.block = canonical.confirmation_block(p.entity_id) AND o.object_id = c.object_id AND place IS NOT NULL
              AND (o.mapping_version, o.source_updated_ats[place], o.ordinals[place])
                > (c.mapping_version, c.source_updated_at, c.ordinal)
            OFFSET 0)
        ORDER BY 1, 2, 3 LIMIT 1
    ) c
),
in_order AS (   -- each confirmation behind the state that it confirmed
    SELECT *, max(version) OVER (
        PARTITION BY entity_id ORDER BY source_updated_at, object_modified_at, object_id, origin) AS latest_version
    FROM (
        SELECT entity_id, 1 AS origin, version, valid_to, source_updated_at, object_modified_at, object_id, ordinal,
            mapping_version, content_hash
        FROM states
        UNION ALL
        SELECT entity_id, 2, NULL, NULL, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, NULL
        FROM (TABLE own UNION TABLE following) c
    ) s
),
said AS (
    SELECT entity_id, origin, version, valid_to, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        first_value(content_hash) OVER confirmed AS content_hash,
        first_value(CASE WHEN valid_to IS NOT NULL THEN version END) OVER confirmed AS content_of
    FROM in_order WHERE latest_version IS NOT NULL
    WINDOW confirmed AS (PARTITION BY entity_id, latest_version ORDER BY origin)
    UNION ALL
    SELECT entity_id, 0, NULL, NULL, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        content_hash, NULL
    FROM late
),
once AS (
    SELECT DISTINCT ON (entity_id, object_id) *
    FROM said ORDER BY entity_id, object_id, mapping_version DESC, source_updated_at DESC, ordinal DESC, origin
),
compared AS (
    SELECT *, content_hash IS DISTINCT FROM lag(content_hash) OVER in_order AS begins
    FROM once
    WINDOW in_order AS (PARTITION BY entity_id ORDER BY source_updated_at, object_modified_at, object_id)
),
numbered AS (
    SELECT *, count(*) FILTER (WHERE begins) OVER in_order AS nth
    FROM compared
    WINDOW in_order AS (PARTITION BY entity_id ORDER BY source_updated_at, object_modified_at, object_id)
),
valid AS (
    SELECT *, lead(source_updated_at) OVER (PARTITION BY entity_id, begins ORDER BY nth) AS until FROM numbered
)
SELECT entity_id, begins, origin, content_of, begins AND origin = 1 AND version = nth AND valid_to IS NOT DISTINCT FROM until,
    nth, until, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash
FROM valid
