-- Returns a reject with everything that is stored about it.
-- Parameter: reject_id.
SELECT r.reject_id, o.key, o.version, r.ordinal, r.line, r.record_key, r.status, r.kind, r.errors, r.raw, r.raw_complete,
       r.mapping_version, r.created_at, r.settled_at
FROM ingest.rejects r JOIN ingest.objects o USING (object_id)
WHERE r.reject_id = %(reject_id)s
