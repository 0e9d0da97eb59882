-- A person's statement, which the guard has parsed as one SELECT. It replaces the marker.
-- Reads: what the statement names, as the role pipeline_analyst. Writes nothing.
-- OFFSET 0 keeps the planner from taking the subquery apart, which would compute each column twice. The order of the statement
-- stays, since nothing above it sorts (and PostgreSQL plans nothing in parallel for a cursor).
--
-- A row may have 256 KB (262144 bytes) as it is sent. Stored bytes do not tell: compressed JSON grows a hundredfold, and the 8 bytes of
-- 1e131071::numeric become 131 KB. So the text of the row is counted, which is never shorter than what is sent. Only a row
-- that seems too large is counted again without the quotes and backslashes that this text doubles.
-- Above 2 MB of stored bytes no text is made at all: no value shrinks to an eighth of its bytes when it is sent.
SELECT result.*
FROM (
    SELECT * FROM (
/* statement */
    ) AS statement OFFSET 0
) AS result
WHERE CASE
    WHEN pg_column_size(result) > 2097152 THEN analytics.row_fits(2097152, 262144)
    WHEN octet_length(result::text) <= 262144 THEN true
    ELSE analytics.row_fits(octet_length(replace(replace(result::text, '""', '"'), '\\', '\')), 262144)
END
