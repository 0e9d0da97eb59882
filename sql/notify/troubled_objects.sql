-- Objects that people hear of: failed, unroutable, refused when they were replayed, loaded with a large share of rejected
-- records, or without a field that the file before them had; settled since a time, in that order.
-- Parameters: since, reject_share, most.
SELECT object_id, key, source, dataset, state, records, rejected, error_code, vanished, finished_at,
       CASE WHEN state IN ('failed', 'unroutable') OR error_code IS NOT NULL THEN 'failed'
            WHEN state = 'loaded_with_rejects' AND rejected >= %(reject_share)s * records THEN 'rejected'
            ELSE 'columns_vanished' END AS kind
FROM ingest.objects
WHERE finished_at >= %(since)s
  AND (state IN ('failed', 'unroutable')
       OR state IN ('loaded', 'loaded_with_rejects') AND (error_code IS NOT NULL OR vanished IS NOT NULL)
       OR state = 'loaded_with_rejects' AND rejected >= %(reject_share)s * records)
ORDER BY finished_at, object_id
LIMIT %(most)s
