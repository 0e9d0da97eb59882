-- Reads the tables and views of the schemas canonical and analytics, with what the loader may do. Partitions are left out.
SELECT
    c.oid::bigint AS oid,
    format('%s.%s', n.nspname, c.relname) AS name,
    obj_description(c.oid, 'pg_class') AS comment,
    ARRAY(
        SELECT privilege FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
        WHERE has_table_privilege('pipeline_loader', c.oid, privilege)) AS privileges,
    CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END AS view_definition
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('canonical', 'analytics') AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
