-- Returns what the partial records of a row sent, in the order of their positions, with the object and the mapping of each.
-- Parameters: dataset, canonical_id.
SELECT o.key, p.object_id, p.ordinal, p.mapping_version, m.created_at AS mapping_since, p.source_updated_at AS valid_from,
       p.deleted, p.whole, p.fields || coalesce(p.attributes, jsonb_build_object()) AS sent,
       coalesce(p.base, jsonb_build_object()) AS base, coalesce(c.columns, jsonb_build_object()) AS columns
FROM ingest.patches p
LEFT JOIN ingest.objects o USING (object_id)
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(field, names) AS columns
    FROM (
        SELECT coalesce(field, name) AS field, array_agg(name) AS names
        FROM ingest.column_sets s CROSS JOIN LATERAL unnest(s.names, s.fields) AS read (name, field)
        WHERE s.column_set_id = o.column_set_id GROUP BY 1
    ) fields
) c ON true
LEFT JOIN ingest.mappings m ON (m.source, m.dataset, m.version) = (p.source, p.dataset, p.mapping_version)
-- The source, since the primary key begins with it.
WHERE p.source = split_part(%(canonical_id)s, '_', 1) AND p.dataset = %(dataset)s AND p.record_key = %(canonical_id)s
ORDER BY p.source_updated_at, p.object_modified_at, p.object_id, p.ordinal
