-- Reads the comments of schemas. Parameter: names.
SELECT nspname::text AS name, obj_description(oid, 'pg_namespace') AS comment
FROM pg_namespace WHERE nspname = ANY (%(names)s::text[])
