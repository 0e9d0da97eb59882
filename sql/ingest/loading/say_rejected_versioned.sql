-- Makes the entities of a micro-batch members of the snapshots that have a rejected record of them: when the record was
-- rejected, the entity may not have been there. Reads: incoming.
-- Parameter: source.
INSERT INTO ingest.snapshot_members AS m (snapshot_id, block, members)
SELECT o.snapshot_id, ingest.member_block(e.{id}), bit_or(ingest.member(e.{id}))
FROM {incoming} i
JOIN ingest.rejects r ON r.record_key = i.canonical_id AND r.kind = 'record' AND r.status <> 'resolved' AND r.dataset = '{dataset}'
JOIN ingest.objects o ON o.object_id = r.object_id
    AND coalesce(o.loaded_as, o.state) = 'loaded_with_rejects'  -- a failed object has rejects, too
JOIN ingest.snapshots s ON s.snapshot_id = o.snapshot_id AND s.source = %(source)s AND NOT s.forgotten AND s.state <> 'discarded'
JOIN {table} e ON e.canonical_id = i.canonical_id
GROUP BY 1, 2
ON CONFLICT (snapshot_id, block) DO UPDATE SET members = m.members | EXCLUDED.members
WHERE m.members <> m.members | EXCLUDED.members
