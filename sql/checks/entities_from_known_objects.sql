-- table: canonical.entities
-- severity: error
-- blocking: yes
-- Entities whose object the ledger does not know as loaded: rows that nobody can account for.
SELECT e.canonical_id, e.object_id, o.key, o.state
FROM canonical.entities e
LEFT JOIN ingest.objects o USING (object_id)
LEFT JOIN ingest.snapshots s ON s.snapshot_id = e.object_id
WHERE ((o.object_id IS NULL AND s.state IS DISTINCT FROM 'closed') OR o.state NOT IN ('loaded', 'loaded_with_rejects'))
  -- A replay takes an object back to the beginning for a while; its rows stay.
  AND NOT coalesce(o.state IN ('discovered', 'claimed') AND o.replayed, false)
ORDER BY e.canonical_id
