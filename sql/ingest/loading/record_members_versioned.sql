-- Adds to the members of snapshots what their objects say: the last row that an object has of an entity counts, unless it is
-- a tombstone. A rejected record whose key can be read counts, too.
-- Reads: said. Parameter: object_ids, none of which is refused.
INSERT INTO ingest.snapshot_members AS m (snapshot_id, block, members)
SELECT o.snapshot_id, ingest.member_block(sent.{id}), bit_or(ingest.member(sent.{id}))
FROM (
    SELECT {id}, object_id FROM {said} s
    WHERE NOT deleted AND object_id = ANY (%(object_ids)s) AND NOT EXISTS (
        SELECT FROM {said} t
        WHERE t.deleted AND (t.{id}, t.object_id) = (s.{id}, s.object_id)
          AND (t.source_updated_at, t.ordinal) > (s.source_updated_at, s.ordinal))
    UNION ALL
    SELECT e.{id}, r.object_id
    FROM ingest.rejects r JOIN {table} e ON e.canonical_id = r.record_key
    WHERE r.object_id = ANY (%(object_ids)s) AND r.kind = 'record' AND r.status <> 'resolved'
) sent
JOIN ingest.objects o USING (object_id)
WHERE o.snapshot_id IS NOT NULL
GROUP BY 1, 2
ON CONFLICT (snapshot_id, block) DO UPDATE SET members = m.members | EXCLUDED.members
