-- Returns a page of unroutable objects in one folder, after the last object of the previous page.
-- Parameters: after_key, after_id; until_key, the first text after all keys of the folder; limit. No restriction if null:
-- key_prefix; day of arrival (UTC).
SELECT object_id, key, state, discovered_at
FROM ingest.objects
WHERE state = 'unroutable'
  AND (key COLLATE "C", object_id) > (%(after_key)s::text, %(after_id)s::bigint) AND key COLLATE "C" < %(until_key)s
  AND (%(day)s::date IS NULL OR (discovered_at AT TIME ZONE 'UTC')::date = %(day)s)
  AND (%(key_prefix)s::text IS NULL OR starts_with(key, %(key_prefix)s))
ORDER BY key COLLATE "C", object_id
LIMIT %(limit)s
