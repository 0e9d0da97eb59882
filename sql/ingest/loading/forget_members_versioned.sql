-- Forgets the members of a snapshot. Marks stay where they began a state. With scopes, so does the last mark before the next
-- snapshots that had the entity: whether a scope may delete it depends on that mark.
-- Parameters: snapshot_id, source, scope, as_of.
WITH later AS (
    SELECT m.block, bit_or(m.members) AS members
    FROM ingest.snapshots s JOIN ingest.snapshot_members m USING (snapshot_id)
    WHERE %(scope)s <> '' AND s.source = %(source)s AND s.dataset = '{dataset}' AND s.state = 'closed' AND NOT s.forgotten
      AND (s.as_of, s.snapshot_id) > (%(as_of)s, %(snapshot_id)s)
    GROUP BY m.block
),
marked AS (
    SELECT {id} AS row_id, NOT deleted AS present FROM {table} WHERE source = %(source)s AND object_id = %(snapshot_id)s
    UNION ALL
    SELECT v.{id}, NOT v.deleted FROM {versions} v WHERE v.object_id = %(snapshot_id)s
    UNION ALL
    SELECT m.block * length(m.members) + place, true
    FROM ingest.snapshot_members m
    LEFT JOIN later USING (block)
    CROSS JOIN LATERAL generate_series(0, length(m.members) - 1) AS place
    WHERE %(scope)s <> '' AND m.snapshot_id = %(snapshot_id)s AND get_bit(m.members, place) = 1
      AND NOT ingest.is_member(later.members, place)
),
kept AS (
    INSERT INTO ingest.snapshot_marks (row_id, snapshot_id, present)
    SELECT row_id, %(snapshot_id)s, bool_or(present) FROM marked GROUP BY row_id
    ON CONFLICT (row_id, snapshot_id) DO UPDATE SET present = EXCLUDED.present
),
gone AS (
    DELETE FROM ingest.snapshot_members WHERE snapshot_id = %(snapshot_id)s
)
UPDATE ingest.snapshots SET forgotten = true WHERE snapshot_id = %(snapshot_id)s
