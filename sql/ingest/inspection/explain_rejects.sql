-- Returns the rejected records of a row. Parameters: dataset, canonical_id.
SELECT r.reject_id, o.key, r.ordinal, r.line, r.status, r.errors
FROM ingest.rejects r JOIN ingest.objects o USING (object_id)
WHERE r.record_key = %(canonical_id)s AND r.dataset = %(dataset)s
ORDER BY r.source_updated_at, r.reject_id
