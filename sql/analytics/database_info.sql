-- The views of analytics. Rows are counted through the views (deleted ones do not count); sizes are those of the
-- tables behind the views, with their partitions, indexes and TOAST.
WITH counted (view_name, storage, row_count) AS (
    SELECT 'entities', 'canonical.entities', (SELECT count(*) FROM analytics.entities)
    UNION ALL
    SELECT 'entity_versions', 'canonical.entity_versions', (SELECT count(*) FROM analytics.entity_versions)
    UNION ALL
    SELECT 'entity_relationships', 'canonical.entity_relationships', (SELECT count(*) FROM analytics.entity_relationships)
    UNION ALL
    SELECT 'time_series_data', 'canonical.time_series_data', (SELECT count(*) FROM analytics.time_series_data)
    UNION ALL
    SELECT 'objects', 'ingest.objects', (SELECT count(*) FROM analytics.objects)
    UNION ALL
    SELECT 'object_columns', 'ingest.column_sets', (SELECT count(*) FROM analytics.object_columns)
    UNION ALL
    SELECT 'reject_counts', 'ingest.rejects', (SELECT count(*) FROM analytics.reject_counts)
    UNION ALL
    SELECT 'snapshots', 'ingest.snapshots', (SELECT count(*) FROM analytics.snapshots)
    UNION ALL
    SELECT 'data_version', 'ingest.data_versions', (SELECT count(*) FROM analytics.data_version)
    UNION ALL
    SELECT 'schema_version', 'public.schema_migrations', (SELECT count(*) FROM analytics.schema_version)
),
-- By name in the catalog and not with to_regclass(), which asks for USAGE on the schema.
stored AS (
    SELECT namespace.nspname || '.' || class.relname AS storage, class.oid
    FROM pg_catalog.pg_class class JOIN pg_catalog.pg_namespace namespace ON namespace.oid = class.relnamespace
    WHERE namespace.nspname IN ('canonical', 'ingest', 'public')
)
SELECT counted.view_name AS table_name,
       counted.row_count,
       (SELECT sum(pg_catalog.pg_total_relation_size(part.relid))::bigint
        -- A table without partitions has no tree.
        FROM (SELECT stored.oid UNION SELECT relid FROM pg_catalog.pg_partition_tree(stored.oid)) AS part (relid)) AS bytes,
       columns.column_count,
       columns.column_names,
       columns.column_types,
       (SELECT schema_version FROM analytics.schema_version) AS schema_version,
       (SELECT data_version FROM analytics.data_version) AS data_version
FROM counted
JOIN stored USING (storage)
CROSS JOIN LATERAL (
    SELECT count(*) AS column_count, array_agg(attname::text ORDER BY attnum) AS column_names,
           array_agg(pg_catalog.format_type(atttypid, atttypmod) ORDER BY attnum) AS column_types
    FROM pg_catalog.pg_attribute
    WHERE attrelid = ('analytics.' || counted.view_name)::regclass AND attnum > 0 AND NOT attisdropped
) AS columns
ORDER BY table_name
