-- Everyday mistakes of analysts, one statement a line. Each must be answered as a fault of the query, with 4xx.
-- what PostgreSQL does not support
SELECT count(DISTINCT country) OVER () FROM entities
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY revenue) OVER () FROM entities
SELECT * FROM entities AS a FULL JOIN entities AS b ON a.revenue < b.revenue
SELECT CASE WHEN true THEN generate_series(1, 2) END
SELECT coalesce(generate_series(1, 2), 1)
SELECT sum(generate_series(1, 3)) FROM entities
SELECT extract(hour FROM current_date)
-- names
SELECT nme FROM entities
SELECT * FROM customers
SELECT e.name FROM entities
SELECT lenght(name) FROM entities
SELECT sum(name) FROM entities
SELECT name FROM entities AS a JOIN entities AS b USING (canonical_id)
SELECT * FROM entities AS a JOIN entities AS a ON true
SELECT name FROM
SELEC name FROM entities
-- groups and windows
SELECT name, count(*) FROM entities
SELECT sum(count(*)) FROM entities
SELECT name FROM entities WHERE count(*) > 1
SELECT name FROM entities WHERE row_number() OVER () = 1
SELECT lag(revenue) FROM entities
SELECT DISTINCT name FROM entities ORDER BY revenue
SELECT name FROM entities ORDER BY 12
SELECT max(revenue) FILTER (WHERE max(revenue) > 1) FROM entities
SELECT sum(revenue) OVER (ORDER BY name ROWS BETWEEN 1 FOLLOWING AND 1 PRECEDING) FROM entities
-- types and values
SELECT name::int FROM entities
SELECT name::date FROM entities
SELECT name::boolean FROM entities
SELECT name::jsonb FROM entities
SELECT name::uuid FROM entities
SELECT name + 1 FROM entities
SELECT 'a' + 1
SELECT now() - 'yesterday'::text
SELECT revenue / 0 FROM entities
SELECT (revenue * 1e20)::int FROM entities
SELECT ln(0)
SELECT sqrt(-1)
SELECT '2026-02-30'::date
SELECT make_date(2026, 2, 30)
SELECT interval '5 parsecs'
SELECT date_trunc('fortnight', now())
SELECT extract(foo FROM now())
SELECT now() AT TIME ZONE 'Mars/Phobos'
SELECT round(1.5::float8, 1)
SELECT regexp_replace(name, '(', 'b') FROM entities
SELECT generate_series(1, 10, 0)
SELECT substring(name FROM 1 FOR -1) FROM entities
SELECT (attributes ->> 'size')::int FROM entities
SELECT jsonb_path_query('[1]', '$[')
SELECT CASE WHEN true THEN 1 ELSE 'a' END
SELECT 'infinity'::timestamptz
-- the form of the query
SELECT (SELECT name FROM entities)
SELECT name FROM entities LIMIT -1
SELECT name FROM entities OFFSET -1
SELECT name FROM entities UNION SELECT name, revenue FROM entities
SELECT 1 UNION SELECT 'a'
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT (SELECT max(n) FROM r)) SELECT * FROM r
SELECT $1
UPDATE entities SET name = 'x'
SELECT 1; SELECT 2
SELECT string_agg(repeated, '') FROM (SELECT string_agg('0123456789', '') AS repeated FROM generate_series(1, 1000000)) AS r, generate_series(1, 110)
