-- All states of an entity in the order of their positions, and where each comes from. Parameter: canonical_id.
WITH states AS (
    SELECT e.entity_id, e.version, NULL::timestamptz AS valid_to, e.updated_at AS recorded_at, to_jsonb(e) AS state
    FROM canonical.entities e WHERE e.canonical_id = %(canonical_id)s
    UNION ALL
    SELECT v.entity_id, v.version, v.valid_to, v.recorded_at, to_jsonb(v) AS state
    FROM canonical.entity_versions v JOIN canonical.entities e USING (entity_id) WHERE e.canonical_id = %(canonical_id)s
)
SELECT s.version, s.valid_to, s.recorded_at, s.state, o.key,
       (SELECT count(*) FROM canonical.entity_confirmations c
        WHERE c.block = canonical.confirmation_block(s.entity_id) AND c.entity_id = s.entity_id
          AND c.source_updated_at >= (s.state ->> 'source_updated_at')::timestamptz
          AND (s.valid_to IS NULL OR c.source_updated_at < s.valid_to)) AS confirmations,
       m.created_at AS mapping_since
FROM states s
LEFT JOIN ingest.objects o ON o.object_id = (s.state ->> 'object_id')::bigint
-- The mapping that read the state. An older one than the table of mappings has no row there.
LEFT JOIN ingest.mappings m
    ON m.dataset = 'entities' AND m.source = o.source AND m.version = (s.state ->> 'mapping_version')::integer
ORDER BY s.version
