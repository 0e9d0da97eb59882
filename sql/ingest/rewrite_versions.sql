-- Removes what the timeline does not say from entity_versions and from the confirmations; what is right stays as it is.
WITH touched AS (
    SELECT DISTINCT entity_id FROM timeline
),
versions AS (
    DELETE FROM canonical.entity_versions v
    USING touched t
    WHERE v.entity_id = t.entity_id AND NOT EXISTS (
        SELECT FROM timeline r
        WHERE r.begins AND r.entity_id = v.entity_id AND r.version = v.version
          AND (r.object_id, r.ordinal, r.content_hash, r.source_updated_at, r.mapping_version, r.valid_to)
            = (v.object_id, v.ordinal, v.content_hash, v.source_updated_at, v.mapping_version, v.valid_to))
),
judged AS (
    SELECT b.ctid AS place, c.*,
           t.entity_id IS NULL OR EXISTS (
               SELECT FROM timeline r
               WHERE NOT r.begins
                 AND (r.entity_id, r.object_id, r.source_updated_at, r.ordinal, r.mapping_version)
                   = (c.entity_id, b.object_id, c.source_updated_at, c.ordinal, b.mapping_version)) AS is_right
    FROM canonical.entity_confirmation_blocks b
    CROSS JOIN LATERAL unnest(b.entity_ids, b.source_updated_ats, b.ordinals) AS c (entity_id, source_updated_at, ordinal)
    LEFT JOIN touched t USING (entity_id)
    WHERE b.block = ANY ((SELECT array_agg(DISTINCT canonical.confirmation_block(entity_id)) FROM touched)::bigint[])
),
remaining AS (
    SELECT place,
           max(source_updated_at) FILTER (WHERE is_right) AS latest_updated_at,
           array_agg(entity_id) FILTER (WHERE is_right) AS entity_ids,
           array_agg(source_updated_at) FILTER (WHERE is_right) AS source_updated_ats,
           array_agg(ordinal) FILTER (WHERE is_right) AS ordinals
    FROM judged GROUP BY place HAVING NOT bool_and(is_right)
),
emptied AS (
    DELETE FROM canonical.entity_confirmation_blocks b USING remaining r WHERE b.ctid = r.place AND r.entity_ids IS NULL
)
UPDATE canonical.entity_confirmation_blocks b SET
    latest_updated_at = r.latest_updated_at, entity_ids = r.entity_ids, source_updated_ats = r.source_updated_ats,
    ordinals = r.ordinals
FROM remaining r WHERE b.ctid = r.place AND r.entity_ids IS NOT NULL
