-- Takes from the members of snapshots the entities of which a replayed object has a tombstone now, unless another object of
-- the snapshot has them. Reads: said. Parameter: object_ids.
UPDATE ingest.snapshot_members m SET members = m.members & ~withdrawn.members
FROM (
    SELECT o.snapshot_id, ingest.member_block(t.{id}) AS block, bit_or(ingest.member(t.{id})) AS members
    FROM {said} t JOIN ingest.objects o USING (object_id)
    WHERE t.deleted AND t.object_id = ANY (%(object_ids)s)
      AND NOT EXISTS (
          SELECT FROM {said} s
          WHERE NOT s.deleted AND (s.{id}, s.object_id) = (t.{id}, t.object_id)
            AND (s.source_updated_at, s.ordinal) > (t.source_updated_at, t.ordinal))
      AND NOT EXISTS (
          SELECT FROM ingest.rejects r JOIN {table} e ON e.canonical_id = r.record_key
          JOIN ingest.objects p ON p.object_id = r.object_id
          WHERE e.{id} = t.{id} AND p.snapshot_id = o.snapshot_id
            AND coalesce(p.loaded_as, p.state) = 'loaded_with_rejects' AND r.kind = 'record' AND r.status <> 'resolved')
      AND NOT EXISTS (
          SELECT FROM (
              SELECT object_id, deleted FROM {table} e WHERE e.{id} = t.{id}
              UNION ALL
              SELECT object_id, deleted FROM {versions} v WHERE v.{id} = t.{id}
              UNION ALL
              SELECT c.object_id, (
                  SELECT s.deleted FROM (
                      SELECT source_updated_at, object_modified_at, object_id, deleted FROM {table} e WHERE e.{id} = t.{id}
                      UNION ALL
                      SELECT source_updated_at, object_modified_at, object_id, deleted FROM {versions} v WHERE v.{id} = t.{id}
                  ) s
                  WHERE (s.source_updated_at, s.object_modified_at, s.object_id)
                     <= (c.source_updated_at, c.object_modified_at, c.object_id)
                  ORDER BY s.source_updated_at DESC, s.object_modified_at DESC, s.object_id DESC LIMIT 1)
              FROM {confirmations} c WHERE c.block = canonical.confirmation_block(t.{id}) AND c.{id} = t.{id}
          ) other
          JOIN ingest.objects p USING (object_id)
          WHERE NOT other.deleted AND p.snapshot_id = o.snapshot_id AND p.object_id <> t.object_id)
    GROUP BY 1, 2
) withdrawn
WHERE (m.snapshot_id, m.block) = (withdrawn.snapshot_id, withdrawn.block)
