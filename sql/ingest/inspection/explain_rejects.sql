-- Rows of an entity that could not be loaded. Parameter: canonical_id.
SELECT r.reject_id, o.key, r.ordinal, r.line, r.status, r.errors
FROM ingest.rejects r JOIN ingest.objects o USING (object_id)
WHERE r.record_key = %(canonical_id)s AND r.dataset = 'entities'
ORDER BY r.source_updated_at, r.reject_id
