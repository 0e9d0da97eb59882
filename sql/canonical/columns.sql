-- Reads the columns of a table in their order, with their comments. Parameters: schema, name.
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable,
    col_description(a.attrelid, a.attnum) AS description
FROM pg_attribute a
WHERE a.attrelid = to_regclass(format('%%I.%%I', %(schema)s::text, %(name)s::text)) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
