-- Wraps a person's statement, which the guard has parsed as one SELECT, and refuses rows that are too large.
-- Reads: what the statement names, as the role pipeline_analyst. Writes nothing.
-- Markers: `statement` is replaced by the statement. `columns` and `least_bytes` are filled in if a column can hold several numbers
-- (pipeline_project/analytics/execution.py).
--
-- OFFSET 0 stops the planner from flattening the subquery, which would compute each column twice. The order of the statement
-- is kept, because nothing above the subquery sorts (and PostgreSQL plans nothing in parallel for a cursor).
--
-- A row may have 256 KB (262144 bytes), as PostgreSQL stores it and as it is sent. The stored size alone is not enough: compressed
-- JSON grows a hundredfold, and the 8 bytes of 1e131071::numeric become 131 KB. So the wrapper also counts the text of the row, which is
-- never shorter than what is sent. If the text is too large, it is counted again without the quotes and backslashes that
-- this text doubles. Two checks come first, because making the text could take a gigabyte: the stored size, and the numbers in
-- columns that can hold several. A row of 4 KB holds at most 512 numbers, so its text needs no such check.
SELECT result.*
FROM (
    SELECT * FROM (
/* statement */
    ) AS statement OFFSET 0
) AS result /* columns */
WHERE CASE
    WHEN pg_catalog.pg_column_size(result) > 262144 THEN analytics.row_fits(pg_catalog.pg_column_size(result), 262144)
    WHEN pg_catalog.pg_column_size(result) > 4096 AND NOT analytics.row_fits(0 /* least_bytes */, 262144) THEN false
    WHEN pg_catalog.octet_length(result::text) <= 262144 THEN true
    ELSE analytics.row_fits(
        pg_catalog.octet_length(pg_catalog.replace(pg_catalog.replace(result::text, '""', '"'), '\\', '\')), 262144)
END
