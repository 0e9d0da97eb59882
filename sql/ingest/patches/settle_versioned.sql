-- Turns the patches of a source that is not partial any more into confirmations, and removes them. The versions stay: each is a
-- whole row now. Patches that began no version confirm the version that was valid at their position.
-- Parameter: source. The loader holds the lock of the source and dataset.
WITH removed AS (
    DELETE FROM ingest.patches WHERE source = %(source)s AND dataset = '{dataset}'
    RETURNING record_key, source_updated_at, object_modified_at, object_id, ordinal, mapping_version
),
said AS (   -- of one object, the last counts
    SELECT DISTINCT ON (e.{id}, p.object_id)
        e.{id}, p.source_updated_at, p.object_modified_at, p.object_id, p.ordinal, p.mapping_version,
        e.object_id = p.object_id AS is_current
    FROM removed p JOIN {table} e ON e.canonical_id = p.record_key
    WHERE (p.source_updated_at, p.object_modified_at, p.object_id)
       >= (SELECT s.source_updated_at, s.object_modified_at, s.object_id FROM (
               SELECT e.version, e.source_updated_at, e.object_modified_at, e.object_id
               UNION ALL
               SELECT v.version, v.source_updated_at, v.object_modified_at, v.object_id FROM {versions} v WHERE v.{id} = e.{id}
           ) s ORDER BY s.version LIMIT 1)
    ORDER BY e.{id}, p.object_id, p.source_updated_at DESC, p.ordinal DESC
)
INSERT INTO {blocks} (
    block, object_id, object_modified_at, source, mapping_version, latest_updated_at, {ids}, source_updated_ats, ordinals)
SELECT canonical.confirmation_block({id}), object_id, object_modified_at, %(source)s, mapping_version,
    max(source_updated_at), array_agg({id}), array_agg(source_updated_at), array_agg(ordinal)
FROM said s
WHERE NOT is_current
  AND NOT EXISTS (SELECT FROM {versions} v WHERE (v.{id}, v.object_id) = (s.{id}, s.object_id))
  AND NOT EXISTS (
      SELECT FROM {confirmations} c
      WHERE c.block = canonical.confirmation_block(s.{id}) AND (c.{id}, c.object_id) = (s.{id}, s.object_id))
GROUP BY 1, 2, 3, 4, 5
