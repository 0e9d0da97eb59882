-- Stores the invalid records of an object, and the errors of values without which a record was loaded. A replay stores them again, but a reject that a person discarded stays discarded.
INSERT INTO ingest.rejects AS r (
    object_id, ordinal, line, source, dataset, record_key, source_updated_at, object_modified_at,
    raw, raw_complete, errors, mapping_version, kind)
VALUES (
    %(object_id)s, %(ordinal)s, %(line)s, %(source)s, %(dataset)s, %(record_key)s, %(source_updated_at)s,
    %(object_modified_at)s, %(raw)s, %(raw_complete)s, %(errors)s, %(mapping_version)s,
    %(kind)s)
ON CONFLICT (object_id, ordinal) DO UPDATE SET
    line = EXCLUDED.line, record_key = EXCLUDED.record_key, source_updated_at = EXCLUDED.source_updated_at, errors = EXCLUDED.errors,
    mapping_version = EXCLUDED.mapping_version, kind = EXCLUDED.kind,
    status = CASE WHEN r.status = 'discarded' THEN r.status ELSE 'open' END,
    settled_at = CASE WHEN r.status = 'discarded' THEN r.settled_at END
