-- Statements of allowed parts that take for ever or give too much: the guard lets them pass, and the limits must hold.
-- time
SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b, generate_series(1, 100000) c
SELECT sum(a::numeric ^ 2) FROM generate_series(1, 1000000000) AS a
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r, generate_series(1, 2)) SELECT max(n) FROM r
SELECT a FROM generate_series(1, 1000000000) AS a ORDER BY random()
SELECT count(*) FROM (SELECT DISTINCT a, b FROM generate_series(1, 100000) a, generate_series(1, 100000) b) AS x
SELECT factorial(100000)
SELECT count(*) FROM entities a, entities b, entities c, entities d, entities e, generate_series(1, 100000000) f
SELECT 1 FROM generate_series(1, 1000000000000) OFFSET 100000000000
-- size
SELECT string_agg('0123456789', '') FROM generate_series(1, 1000000)
SELECT array_agg(a) FROM generate_series(1, 1000000) AS a
SELECT jsonb_agg(a) FROM generate_series(1, 300000) AS a
SELECT a || a || a || a FROM (SELECT string_agg('0123456789', '') AS a FROM generate_series(1, 100000)) AS x
SELECT array_agg(1e131071::numeric) FROM generate_series(1, 100)
SELECT jsonb_agg(1e131071::numeric) FROM generate_series(1, 100)
SELECT jsonb_object_agg(a, true) FROM generate_series(1, 100000) AS a
