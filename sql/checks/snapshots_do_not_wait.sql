-- table: ingest.objects
-- severity: warn
-- Snapshots that wait for a person, or for a part since more than a day. Nothing that is missing in them was deleted.
SELECT source, dataset, scope, name, state, reason, deletes, opened_at
FROM ingest.snapshots
WHERE state = 'held' OR (state = 'open' AND opened_at < now() - interval '1 day')
ORDER BY opened_at, snapshot_id
