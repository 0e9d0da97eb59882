-- Stores the staged records as patches. A patch that a newer mapping read replaces the patch of the same record.
-- Puts the patches that were not stored yet into `touched`.
WITH stored AS (
    INSERT INTO ingest.patches AS p (
        source, dataset, record_key, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        record_digest, deleted, whole, fields, attributes, base)
    SELECT source, '{dataset}', canonical_id, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        record_digest, deleted, false, everything - ARRAY['deleted', '{rest}'] - unsent,
        nullif(everything -> '{rest}' || cleared, jsonb_build_object()), base
    FROM {sent} s
    CROSS JOIN LATERAL (SELECT to_jsonb(c) AS everything FROM (SELECT {s.state}) c OFFSET 0) content  -- OFFSET: once
    ON CONFLICT (source, dataset, record_key, object_id, ordinal) DO UPDATE SET
        source_updated_at = EXCLUDED.source_updated_at, object_modified_at = EXCLUDED.object_modified_at,
        mapping_version = EXCLUDED.mapping_version, record_digest = EXCLUDED.record_digest, deleted = EXCLUDED.deleted,
        whole = EXCLUDED.whole, fields = EXCLUDED.fields, attributes = EXCLUDED.attributes, base = EXCLUDED.base
    WHERE EXCLUDED.mapping_version > p.mapping_version
    RETURNING new.record_key, new.source_updated_at, new.object_modified_at, new.object_id, new.ordinal,
        old.source_updated_at AS replaced_updated_at
)
INSERT INTO {touched} (
    canonical_id, source_updated_at, object_modified_at, object_id, ordinal, replaced_updated_at)
TABLE stored
