-- Returns rejects, the latest first.
-- Parameters: limit. No restriction if null: source, key_prefix, status.
SELECT r.reject_id, o.key, r.ordinal, r.line, r.record_key, r.status, r.kind, r.errors
FROM ingest.rejects r JOIN ingest.objects o USING (object_id)
WHERE (%(source)s::text IS NULL OR r.source = %(source)s)
  AND (%(key_prefix)s::text IS NULL OR starts_with(o.key, %(key_prefix)s))
  AND (%(status)s::text IS NULL OR r.status = %(status)s)
ORDER BY r.reject_id DESC LIMIT %(limit)s
