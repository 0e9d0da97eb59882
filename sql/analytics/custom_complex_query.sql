-- A person's statement, which the guard has parsed as one SELECT. It replaces the marker.
-- Reads: what the statement names, as the role pipeline_analyst. Writes nothing.
-- OFFSET 0 keeps the planner from taking the subquery apart, which would compute each column twice. The order of the statement
-- stays, since nothing above it sorts (and PostgreSQL plans nothing in parallel for a cursor).
--
-- A row may have 256 KB (262144 bytes), as PostgreSQL keeps it and as it is sent. The bytes that it keeps do not tell alone: compressed
-- JSON grows a hundredfold, and the 8 bytes of 1e131071::numeric become 131 KB. So the text of the row is counted, too, which is
-- never shorter than what is sent. Only a row that seems too large is counted again without the quotes and backslashes that
-- this text doubles. What is kept in too many bytes is refused first, since its text could take a gigabyte.
SELECT result.*
FROM (
    SELECT * FROM (
/* statement */
    ) AS statement OFFSET 0
) AS result
WHERE CASE
    WHEN pg_catalog.pg_column_size(result) > 262144 THEN analytics.row_fits(pg_catalog.pg_column_size(result), 262144)
    WHEN pg_catalog.octet_length(result::text) <= 262144 THEN true
    ELSE analytics.row_fits(
        pg_catalog.octet_length(pg_catalog.replace(pg_catalog.replace(result::text, '""', '"'), '\\', '\')), 262144)
END
