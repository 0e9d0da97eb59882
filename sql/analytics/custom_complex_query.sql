-- A person's statement, which the guard has parsed as one SELECT, stands in the place of the marker. OFFSET 0 keeps the
-- planner from taking the subquery apart, which would compute each of its columns twice. The order of the statement holds, since
-- nothing above it reorders (and PostgreSQL plans nothing parallel for a cursor).
SELECT result.*
FROM (
    SELECT * FROM (
/* statement */
    ) AS statement OFFSET 0
) AS result
WHERE analytics.row_fits(pg_column_size(result), 262144)
