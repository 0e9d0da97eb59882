-- Returns the ledger rows of given contents of given keys of one bucket.
-- Parameters: bucket; keys and versions, arrays of equal length.
SELECT key, state, records, inserted, updated, unchanged, stale, rejected, deleted, error_message, error_line,
       error_column
FROM ingest.objects
JOIN unnest(%(keys)s::text[], %(versions)s::text[]) AS wanted (key, version) USING (key, version)
WHERE bucket = %(bucket)s
ORDER BY key
