-- Notes of the known records that the state they describe still held at their position.
-- Parameter: mapping_version.
INSERT INTO canonical.entity_confirmations AS c (
    entity_id, object_id, source_updated_at, object_modified_at, ordinal, mapping_version)
SELECT entity_id, object_id, source_updated_at, object_modified_at, ordinal, %(mapping_version)s
FROM known
WHERE NOT recorded
ON CONFLICT (entity_id, object_id) DO UPDATE
    SET source_updated_at = EXCLUDED.source_updated_at, ordinal = EXCLUDED.ordinal, mapping_version = EXCLUDED.mapping_version
    WHERE (EXCLUDED.mapping_version, EXCLUDED.source_updated_at, EXCLUDED.ordinal)
        > (c.mapping_version, c.source_updated_at, c.ordinal)
