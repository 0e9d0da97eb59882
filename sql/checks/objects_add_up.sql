-- table: ingest.objects
-- severity: error
-- blocking: yes
-- Loaded objects whose records are not all accounted for, or whose rejected rows were not kept.
SELECT o.object_id, o.key, o.state, o.records, o.inserted, o.updated, o.unchanged, o.stale, o.rejected, coalesce(r.kept, 0) AS kept
FROM ingest.objects o
LEFT JOIN (SELECT object_id, count(*) AS kept FROM ingest.rejects GROUP BY object_id) r USING (object_id)
WHERE o.state IN ('loaded', 'loaded_with_rejects')
  AND (o.records <> o.inserted + o.updated + o.unchanged + o.stale + o.rejected OR coalesce(r.kept, 0) < o.rejected)
ORDER BY o.finished_at DESC, o.object_id
