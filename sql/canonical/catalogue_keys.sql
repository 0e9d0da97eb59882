-- Reads the primary key and the unique indexes of the tables in the schema canonical, with the columns in their order.
SELECT
    i.indrelid::bigint AS oid,
    i.indisprimary AS is_primary,
    ARRAY(
        SELECT a.attname::text
        FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        ORDER BY k.place) AS columns
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = 'canonical'::regnamespace AND NOT c.relispartition AND i.indisunique
