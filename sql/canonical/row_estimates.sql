-- Rows of tables, those of partitions summed up. Parameters: arrays `schemas` and `names`, side by side.
SELECT wanted.name, coalesce(sum(s.n_live_tup), 0)::bigint AS rows
FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS wanted (schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
CROSS JOIN LATERAL (
    SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf
    UNION SELECT c.oid::regclass
) leaf
LEFT JOIN pg_stat_user_tables s ON s.relid = leaf.relid
GROUP BY wanted.name
