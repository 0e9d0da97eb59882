-- Objects that somebody should hear of: failed, unroutable, refused when they were replayed, or loaded with a large share of
-- bad rows; settled since a time, in that order. Parameters: since, reject_share, most.
SELECT object_id, key, source, dataset, state, records, rejected, error_code, finished_at
FROM ingest.objects
WHERE finished_at >= %(since)s
  AND (state IN ('failed', 'unroutable')
       OR state IN ('loaded', 'loaded_with_rejects') AND error_code IS NOT NULL
       OR state = 'loaded_with_rejects' AND rejected >= %(reject_share)s * records)
ORDER BY finished_at, object_id
LIMIT %(most)s
