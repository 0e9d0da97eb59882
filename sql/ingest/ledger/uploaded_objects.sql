-- What became of certain contents of certain keys (arrays `keys` and `versions`, side by side) of one bucket.
SELECT key, state, records, inserted, updated, unchanged, stale, rejected, deleted, error_message, error_line,
       error_column
FROM ingest.objects
JOIN unnest(%(keys)s::text[], %(versions)s::text[]) AS wanted (key, version) USING (key, version)
WHERE bucket = %(bucket)s
ORDER BY key
