-- Notes of the known records that the state they describe still held at their position.
-- Parameters: source, mapping_version, object_ids: those that are not refused.
INSERT INTO canonical.entity_confirmation_blocks (
    block, object_id, object_modified_at, source, mapping_version, latest_updated_at,
    entity_ids, source_updated_ats, ordinals)
SELECT block, object_id, object_modified_at, %(source)s, %(mapping_version)s, (SELECT max(at) FROM unnest(source_updated_ats) AS at),
    entity_ids, source_updated_ats, ordinals
FROM known
WHERE NOT recorded AND object_id = ANY (%(object_ids)s)
