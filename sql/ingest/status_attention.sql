-- Objects that somebody has to look at, the latest first. Parameter: limit.
SELECT key, state, error_message, error_line, error_column, coalesce(finished_at, started_at, discovered_at) AS at
FROM ingest.objects
WHERE state IN ('failed', 'unroutable', 'superseded')
   OR (state IN ('loaded', 'loaded_with_rejects') AND error_code IS NOT NULL)  -- and could not be replayed
ORDER BY at DESC LIMIT %(limit)s
