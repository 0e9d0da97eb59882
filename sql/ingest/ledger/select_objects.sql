-- Returns a page of the objects of one source that a replay selects, oldest first, after the last object of the previous page.
-- Parameters: source; after_at, after_id; limit. No restriction if null: key_prefix; day of arrival (UTC).
SELECT object_id, key, state, discovered_at
FROM ingest.objects
WHERE source = %(source)s AND (discovered_at, object_id) > (%(after_at)s::timestamptz, %(after_id)s::bigint)
  AND (%(day)s::date IS NULL OR discovered_at >= %(day)s::timestamp AT TIME ZONE 'UTC')
  AND (%(day)s::date IS NULL OR discovered_at < (%(day)s::date + 1)::timestamp AT TIME ZONE 'UTC')
  AND (%(key_prefix)s::text IS NULL OR starts_with(key, %(key_prefix)s))
ORDER BY discovered_at, object_id
LIMIT %(limit)s
