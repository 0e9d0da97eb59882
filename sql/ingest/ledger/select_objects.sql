-- The objects that a replay means. Parameters (null: no restriction): object_ids, key_prefix, source, day (of arrival, UTC).
SELECT object_id, key, source, state FROM ingest.objects
WHERE (%(object_ids)s::bigint[] IS NULL OR object_id = ANY (%(object_ids)s))
  AND (%(key_prefix)s::text IS NULL OR starts_with(key, %(key_prefix)s))
  AND (%(source)s::text IS NULL OR source = %(source)s)
  AND (%(day)s::date IS NULL OR (discovered_at AT TIME ZONE 'UTC')::date = %(day)s)
ORDER BY object_id
