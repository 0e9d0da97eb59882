-- Returns the rejects of given contents of given keys of one bucket, with the first error of each.
-- Parameters: bucket; keys and versions, arrays of equal length.
SELECT key, ordinal, line, errors -> 0 ->> 'field' AS field, errors -> 0 ->> 'message' AS message
FROM ingest.rejects
JOIN ingest.objects USING (object_id)
JOIN unnest(%(keys)s::text[], %(versions)s::text[]) AS wanted (key, version) USING (key, version)
WHERE bucket = %(bucket)s
ORDER BY key, ordinal
