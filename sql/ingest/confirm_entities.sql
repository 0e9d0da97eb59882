-- Notes of the known records that the state they describe still held at their position.
INSERT INTO canonical.entity_confirmations AS c (entity_id, object_id, source_updated_at, object_modified_at, ordinal)
SELECT entity_id, object_id, source_updated_at, object_modified_at, ordinal
FROM known
WHERE NOT recorded
ON CONFLICT (entity_id, object_id) DO UPDATE
    SET source_updated_at = EXCLUDED.source_updated_at, ordinal = EXCLUDED.ordinal
    WHERE (EXCLUDED.source_updated_at, EXCLUDED.ordinal) > (c.source_updated_at, c.ordinal)
