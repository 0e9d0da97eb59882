-- Returns all versions of a row in the order of their positions, with the object and the mapping that each comes from.
-- Parameter: key, an array with the canonical ID.
WITH states AS (
    SELECT e.{id}, e.version, NULL::timestamptz AS valid_to, e.updated_at AS recorded_at, to_jsonb(e) AS state
    FROM {table} e WHERE e.canonical_id = (%(key)s::text[])[1]
    UNION ALL
    SELECT v.{id}, v.version, v.valid_to, v.recorded_at, to_jsonb(v) AS state
    FROM {versions} v JOIN {table} e USING ({id}) WHERE e.canonical_id = (%(key)s::text[])[1]
)
SELECT s.version, s.valid_to, s.recorded_at, s.state, coalesce(o.key, 'snapshot ' || k.name) AS key,
       (SELECT count(*) FROM {confirmations} c
        WHERE c.block = canonical.confirmation_block(s.{id}) AND c.{id} = s.{id}
          AND c.source_updated_at >= (s.state ->> 'source_updated_at')::timestamptz
          AND (s.valid_to IS NULL OR c.source_updated_at < s.valid_to)) AS confirmations,
       m.created_at AS mapping_since, c.names, c.fields
FROM states s
LEFT JOIN ingest.objects o ON o.object_id = (s.state ->> 'object_id')::bigint
-- The mark of a snapshot, not an object, may have begun the version.
LEFT JOIN ingest.snapshots k ON k.snapshot_id = (s.state ->> 'object_id')::bigint
LEFT JOIN ingest.column_sets c USING (column_set_id)
-- The mapping that read the version. Mappings from before the table of mappings have no row there.
LEFT JOIN ingest.mappings m
    ON m.dataset = '{dataset}' AND m.source = o.source AND m.version = (s.state ->> 'mapping_version')::integer
ORDER BY s.version
