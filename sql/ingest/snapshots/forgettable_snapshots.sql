-- Returns closed snapshots from before a time whose members are not needed any more, the earliest first. The newest snapshot of
-- each scope keeps its members.
-- Parameter: before.
SELECT snapshot_id, source, dataset, scope, as_of
FROM (
    SELECT *, row_number() OVER (PARTITION BY source, dataset, scope ORDER BY as_of DESC, snapshot_id DESC) AS nth
    FROM ingest.snapshots WHERE state = 'closed'
) s
WHERE nth > 1 AND NOT forgotten AND as_of < %(before)s AND settled_at < %(before)s
ORDER BY as_of, snapshot_id
