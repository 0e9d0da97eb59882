-- Counts the open rejects of a snapshot whose ID cannot be read. Rejects of failed objects do not count.
-- Parameter: snapshot_id.
SELECT count(*) FROM ingest.rejects r JOIN ingest.objects o USING (object_id)
WHERE o.snapshot_id = %(snapshot_id)s AND coalesce(o.loaded_as, o.state) = 'loaded_with_rejects'
  AND r.kind = 'record' AND r.status = 'open' AND r.record_key IS NULL
