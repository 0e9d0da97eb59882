-- Objects that somebody has to look at, the latest first: not those whose key was loaded since, in a later upload.
-- Parameter: limit.
SELECT o.object_id, o.key, o.state, o.error_code, o.error_message, o.error_line, o.error_column,
       coalesce(o.finished_at, o.started_at, o.discovered_at) AS at
FROM ingest.objects o
WHERE (o.state IN ('failed', 'unroutable', 'superseded')
       OR (o.state IN ('loaded', 'loaded_with_rejects') AND o.error_code IS NOT NULL))  -- and could not be replayed
  AND NOT EXISTS (
      SELECT FROM ingest.objects n
      WHERE n.bucket = o.bucket AND n.key = o.key AND n.object_id <> o.object_id
        AND n.state IN ('loaded', 'loaded_with_rejects') AND n.discovered_at > o.discovered_at)
ORDER BY at DESC LIMIT %(limit)s
