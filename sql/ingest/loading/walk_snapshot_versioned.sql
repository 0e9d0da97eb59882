-- Chooses the entities whose history a snapshot changes: those that exist before its mark and are absent from it, those that
-- do not and are members, and those that its mark had changed before. Too many do no harm. Writes: walked.
-- Parameters: snapshot_id, source, scope, as_of; first and beyond, a range of {id}; closed_before, whether the snapshot was
-- closed before; marks_behind, whether another closed snapshot has a later mark.
INSERT INTO {walked} ({id})
WITH of_scope AS (
    SELECT m.block, bit_or(m.members) AS members
    FROM ingest.snapshots s JOIN ingest.snapshot_members m USING (snapshot_id)
    WHERE %(scope)s::text <> '' AND s.source = %(source)s AND s.dataset = '{dataset}' AND s.scope = %(scope)s
      AND s.state = 'closed' AND NOT s.forgotten AND m.block BETWEEN ingest.member_block(%(first)s) AND ingest.member_block(%(beyond)s)
    GROUP BY m.block
),
before AS (
    SELECT e.{id}, e.object_id,
           ingest.is_member(m.members, e.{id}) AS present,
           CASE
               WHEN (e.source_updated_at, e.object_modified_at, e.object_id)
                  < (%(as_of)s::timestamptz, %(as_of)s::timestamptz + interval '1 microsecond', %(snapshot_id)s) THEN e.deleted
               ELSE (
                   SELECT v.deleted FROM {versions} v
                   WHERE v.{id} = e.{id}
                     AND (v.source_updated_at, v.object_modified_at, v.object_id)
                       < (%(as_of)s::timestamptz, %(as_of)s::timestamptz + interval '1 microsecond', %(snapshot_id)s)
                   ORDER BY v.version DESC LIMIT 1)
           END AS deleted
    FROM {table} e
    LEFT JOIN ingest.snapshot_members m ON m.snapshot_id = %(snapshot_id)s AND m.block = ingest.member_block(e.{id})
    WHERE e.source = %(source)s AND e.{id} >= %(first)s AND e.{id} < %(beyond)s
)
SELECT {id}
FROM before b
WHERE (present = deleted AND (
        present OR %(scope)s::text = ''
        OR EXISTS (
            SELECT FROM of_scope o
            WHERE o.block = ingest.member_block(b.{id}) AND ingest.is_member(o.members, b.{id}))
        OR EXISTS (
            SELECT FROM ingest.snapshot_marks k JOIN ingest.snapshots s USING (snapshot_id)
            WHERE k.row_id = b.{id} AND k.present
              AND (s.source, s.dataset, s.scope, s.state) = (%(source)s, '{dataset}', %(scope)s, 'closed'))))
   OR (%(marks_behind)s AND %(scope)s::text <> '' AND present)
   OR (%(closed_before)s AND (
        object_id = %(snapshot_id)s
        OR EXISTS (SELECT FROM {versions} v WHERE v.{id} = b.{id} AND v.object_id = %(snapshot_id)s)))
