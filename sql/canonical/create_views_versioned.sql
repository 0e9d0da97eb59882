CREATE VIEW {view} AS
SELECT canonical_id, source, source_id, {visible},
    jsonb_build_object(
        'object_id', object_id, 'ordinal', ordinal, 'source_id', source_id,
        'mapping_version', mapping_version, 'quality_score', quality_score) AS metadata,
    quality_score, version, source_updated_at, created_at, updated_at
FROM {table}
WHERE NOT deleted;

CREATE VIEW {versions_view} AS
SELECT e.canonical_id, e.source, v.version, v.deleted, {v.visible},
    v.source_updated_at AS valid_from, v.valid_to, v.recorded_at
FROM {versions} v JOIN {table} e USING ({id});
