-- Returns the named objects that a replay selects.
-- Parameters: object_ids. No restriction if null: source, which an unroutable object does not have yet; key_prefix; day of
-- arrival (UTC).
SELECT object_id, key, state, discovered_at
FROM ingest.objects
WHERE object_id = ANY (%(object_ids)s)
  AND (%(source)s::text IS NULL OR source = %(source)s OR source IS NULL)
  AND (%(key_prefix)s::text IS NULL OR starts_with(key, %(key_prefix)s))
  AND (%(day)s::date IS NULL OR (discovered_at AT TIME ZONE 'UTC')::date = %(day)s)
ORDER BY discovered_at, object_id
