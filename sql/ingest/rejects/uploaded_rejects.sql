-- The rejected rows of certain contents of certain keys (arrays `keys` and `versions`, side by side) of one bucket, with
-- the first error of each.
SELECT key, ordinal, line, errors -> 0 ->> 'field' AS field, errors -> 0 ->> 'message' AS message
FROM ingest.rejects
JOIN ingest.objects USING (object_id)
JOIN unnest(%(keys)s::text[], %(versions)s::text[]) AS wanted (key, version) USING (key, version)
WHERE bucket = %(bucket)s
ORDER BY key, ordinal
