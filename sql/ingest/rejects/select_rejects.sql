-- Returns the open rejects of a selection. If IDs are given, settled rejects are returned as well, and marked as not open.
-- Parameters: reject_ids, source, key_prefix; no restriction if null.
SELECT r.reject_id, r.object_id, r.status = 'open' AS is_open, r.source, r.dataset
FROM ingest.rejects r JOIN ingest.objects o USING (object_id)
WHERE ((%(reject_ids)s::bigint[] IS NULL AND r.status = 'open') OR r.reject_id = ANY (%(reject_ids)s))
  AND (%(source)s::text IS NULL OR r.source = %(source)s)
  AND (%(key_prefix)s::text IS NULL OR starts_with(o.key, %(key_prefix)s))
ORDER BY r.object_id, r.ordinal
