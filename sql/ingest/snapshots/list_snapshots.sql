-- Returns snapshots, the latest first.
-- Parameters: limit. No restriction if null: source, name, snapshot_id, states.
SELECT snapshot_id, source, dataset, scope, name, state, as_of, parts, members, deletes, restores, reason, approved_at, opened_at,
       settled_at
FROM ingest.snapshots
WHERE (%(source)s::text IS NULL OR source = %(source)s) AND (%(name)s::text IS NULL OR name = %(name)s)
  AND (%(snapshot_id)s::bigint IS NULL OR snapshot_id = %(snapshot_id)s)
  AND (%(states)s::text[] IS NULL OR state = ANY (%(states)s))
ORDER BY opened_at DESC, snapshot_id LIMIT %(limit)s
