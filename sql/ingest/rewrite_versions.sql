-- Removes what the timeline does not say from entity_versions and from the confirmations; what is right stays as it is.
WITH touched AS (
    SELECT DISTINCT entity_id FROM timeline
),
versions AS (
    DELETE FROM canonical.entity_versions v
    WHERE v.entity_id = ANY ((SELECT array_agg(entity_id) FROM touched)::bigint[]) AND NOT EXISTS (
        SELECT FROM timeline r
        WHERE r.begins AND r.entity_id = v.entity_id AND r.version = v.version
          AND (r.object_id, r.ordinal, r.content_hash, r.source_updated_at, r.mapping_version, r.valid_to)
            = (v.object_id, v.ordinal, v.content_hash, v.source_updated_at, v.mapping_version, v.valid_to))
),
wrong AS MATERIALIZED (
    SELECT b.ctid AS place, c.*
    FROM canonical.entity_confirmation_blocks b
    CROSS JOIN LATERAL unnest(b.entity_ids, b.source_updated_ats, b.ordinals) AS c (entity_id, source_updated_at, ordinal)
    JOIN touched USING (entity_id)
    LEFT JOIN timeline r
        ON NOT r.begins AND r.entity_id = c.entity_id AND r.object_id = b.object_id
        AND r.source_updated_at = c.source_updated_at AND r.ordinal = c.ordinal AND r.mapping_version = b.mapping_version
    WHERE b.block = ANY ((SELECT array_agg(DISTINCT canonical.confirmation_block(entity_id)) FROM touched)::bigint[])
      AND r.entity_id IS NULL
),
remaining AS (
    SELECT b.ctid AS place,
           max(c.source_updated_at) AS latest_updated_at,
           array_agg(c.entity_id) AS entity_ids,
           array_agg(c.source_updated_at) AS source_updated_ats,
           array_agg(c.ordinal) AS ordinals
    FROM canonical.entity_confirmation_blocks b
    CROSS JOIN LATERAL unnest(b.entity_ids, b.source_updated_ats, b.ordinals) AS c (entity_id, source_updated_at, ordinal)
    WHERE b.ctid = ANY ((SELECT array_agg(DISTINCT place) FROM wrong)::tid[])
      AND NOT EXISTS (
          SELECT FROM wrong w
          WHERE w.place = b.ctid AND w.entity_id = c.entity_id AND w.source_updated_at = c.source_updated_at
            AND w.ordinal = c.ordinal)
    GROUP BY b.ctid
),
emptied AS (
    DELETE FROM canonical.entity_confirmation_blocks b
    WHERE b.ctid = ANY ((SELECT array_agg(DISTINCT place) FROM wrong)::tid[])
      AND NOT EXISTS (SELECT FROM remaining r WHERE r.place = b.ctid)
)
UPDATE canonical.entity_confirmation_blocks b SET
    latest_updated_at = r.latest_updated_at, entity_ids = r.entity_ids, source_updated_ats = r.source_updated_ats,
    ordinals = r.ordinals
FROM remaining r WHERE b.ctid = r.place
