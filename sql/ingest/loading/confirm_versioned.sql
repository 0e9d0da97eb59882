-- Writes confirmations for records that the probe found: their content was still valid at their position.
-- Reads: known. Parameters: source; mapping_version; object_ids, the objects that are not refused.
INSERT INTO {blocks} (
    block, object_id, object_modified_at, source, mapping_version, latest_updated_at,
    {ids}, source_updated_ats, ordinals)
SELECT block, object_id, object_modified_at, %(source)s, %(mapping_version)s, (SELECT max(at) FROM unnest(source_updated_ats) AS at),
    {ids}, source_updated_ats, ordinals
FROM {known}
WHERE NOT recorded AND object_id = ANY (%(object_ids)s)
