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
WITH RECURSIVE t (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM t) SEARCH DEPTH FIRST BY a SET place SELECT count(*) FROM t
WITH RECURSIVE t (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM t) SEARCH BREADTH FIRST BY a SET place SELECT count(*) FROM t
WITH RECURSIVE t (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM t) CYCLE a SET looped USING path SELECT count(*) FROM t
WITH big AS (SELECT to_jsonb(string_agg('a', '')) AS j FROM generate_series(1, 100003)) SELECT JSON_EXISTS(j, '$ ? (@ like_regex "^(aa+)\\1+$")') FROM big
WITH big AS (SELECT to_jsonb(string_agg('a', '')) AS j FROM generate_series(1, 100003)) SELECT t.a FROM big, JSON_TABLE(j, '$ ? (@ like_regex "^(aa+)\\1+$")' COLUMNS (a text PATH '$')) AS t
WITH big AS (SELECT jsonb_agg(n) AS j FROM generate_series(1, 100000) AS n) SELECT jsonb_path_exists(j, '$[*] ? (exists($ ? (@[*] == -1)))') FROM big
-- arguments that are too large
WITH big AS (SELECT string_agg(chr(n), '') AS t FROM generate_series(256, 55000) AS n) SELECT translate(t, t, 'z') FROM big
WITH big AS (SELECT array_agg(n) AS a, array_agg(-n) AS b FROM generate_series(1, 60000) AS n) SELECT a && b FROM big
WITH big AS (SELECT array_agg(n) AS a FROM generate_series(1, 60000) AS n) SELECT a && ALL (SELECT b.a FROM big AS b) FROM big
WITH big AS (SELECT jsonb_agg(n) AS a, jsonb_agg(-n) AS b FROM generate_series(1, 100000) AS n) SELECT a @> b FROM big
WITH big AS (SELECT string_agg('a', '') AS t FROM generate_series(1, 1000000)) SELECT replace(t, 'a', t) FROM big
WITH big AS (SELECT string_agg('a', '') AS t FROM generate_series(1, 1000000)) SELECT regexp_replace(t, 'a', t, 'g') FROM big
SELECT plainto_tsquery('english', string_agg(n::text, ' ')) FROM generate_series(1, 100000) AS n
SELECT repeat('x', 1000000000)
SELECT rpad('x', 1000000000)
SELECT lpad('x', 1000000000)
SELECT lpad('x', 1000000, U&'\+01F600')
-- size
SELECT string_agg('0123456789', '') FROM generate_series(1, 1000000)
SELECT array_agg(a) FROM generate_series(1, 1000000) AS a
SELECT jsonb_agg(a) FROM generate_series(1, 300000) AS a
SELECT a || a || a || a FROM (SELECT string_agg('0123456789', '') AS a FROM generate_series(1, 100000)) AS x
SELECT array_agg(1e131071::numeric) FROM generate_series(1, 100)
SELECT jsonb_agg(1e131071::numeric) FROM generate_series(1, 100)
SELECT jsonb_object_agg(a, true) FROM generate_series(1, 100000) AS a
