-- Makes entity_versions what the timeline says; rows that are right already stay as they are.
WITH wrong AS (
    DELETE FROM canonical.entity_versions v
    USING (SELECT DISTINCT entity_id FROM timeline) t
    WHERE v.entity_id = t.entity_id AND NOT EXISTS (
        SELECT FROM timeline r
        WHERE r.begins AND r.entity_id = v.entity_id AND r.version = v.version
          AND (r.object_id, r.ordinal, r.content_hash, r.source_updated_at, r.mapping_version, r.valid_to)
            = (v.object_id, v.ordinal, v.content_hash, v.source_updated_at, v.mapping_version, v.valid_to))
)
DELETE FROM canonical.entity_confirmations c
USING (SELECT DISTINCT entity_id FROM timeline) t
WHERE c.entity_id = t.entity_id AND NOT EXISTS (
    SELECT FROM timeline r
    WHERE NOT r.begins AND r.entity_id = c.entity_id
      AND (r.object_id, r.source_updated_at, r.ordinal, r.mapping_version)
        = (c.object_id, c.source_updated_at, c.ordinal, c.mapping_version))
