-- Collects the marks of closed snapshots of the entities that are walked. A mark says that the snapshot had the entity, or
-- that it did not. With scopes, "did not" counts only where the last snapshot before that had the entity is of the same scope:
-- an entity that moves to another scope is not deleted. Reads: walked. Writes: marks.
-- Parameter: source.
INSERT INTO {marks} ({id}, snapshot_id, as_of, present)
WITH kept AS MATERIALIZED (
    SELECT snapshot_id, as_of, scope FROM ingest.snapshots
    WHERE source = %(source)s AND dataset = '{dataset}' AND state = 'closed' AND NOT forgotten
),
said AS (
    SELECT w.{id}, k.snapshot_id, k.as_of, k.scope,
           ingest.is_member(m.members, w.{id}) AS present
    FROM {walked} w
    CROSS JOIN kept k
    LEFT JOIN ingest.snapshot_members m ON m.snapshot_id = k.snapshot_id AND m.block = ingest.member_block(w.{id})
    UNION ALL
    SELECT w.{id}, s.snapshot_id, s.as_of, s.scope, k.present
    FROM {walked} w
    JOIN ingest.snapshot_marks k ON k.row_id = w.{id}
    JOIN ingest.snapshots s ON s.snapshot_id = k.snapshot_id
        AND s.source = %(source)s AND s.dataset = '{dataset}' AND s.state = 'closed'
),
counted AS (
    SELECT *, count(*) FILTER (WHERE present) OVER (PARTITION BY {id} ORDER BY as_of, snapshot_id) AS nth FROM said
),
scoped AS (
    SELECT *, first_value(scope) OVER (PARTITION BY {id}, nth ORDER BY as_of, snapshot_id) AS scope_before FROM counted
)
SELECT {id}, snapshot_id, as_of, present FROM scoped
WHERE present OR scope = '' OR (nth > 0 AND scope = scope_before)
