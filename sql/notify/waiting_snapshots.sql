-- Returns the snapshots that people hear of: held ones, and those that have been open for more than a day.
SELECT snapshot_id, source, dataset, scope, name, state, members, deletes, coalesce(settled_at, opened_at) AS since
FROM ingest.snapshots
WHERE state = 'held' OR (state = 'open' AND opened_at < now() - interval '1 day')
ORDER BY opened_at, snapshot_id
