-- What may stand in FROM under the name x. Each line ends a SELECT whose columns are compared with those that the guard takes for columns.
FROM entities AS x
FROM entities AS x (a, b)
FROM generate_series(0, 0) AS x
FROM generate_series(0, 0) AS x (ts_stat)
FROM generate_series(0, 0) WITH ORDINALITY AS x
FROM ROWS FROM (generate_series(0, 0)) AS x
FROM ROWS FROM (generate_series(0, 0), lower('a')) AS x
FROM jsonb_each('{}') AS x
FROM jsonb_each('{}') AS x (ts_stat)
FROM jsonb_array_elements('[]') AS x
FROM json_object_keys('{}') AS x
FROM jsonb_path_query('[]', '$') AS x
FROM regexp_matches('a', 'a') AS x
FROM unnest(ARRAY[1]) AS x
FROM unnest(ARRAY[1], ARRAY[2]) AS x
FROM (SELECT array_agg(e) AS es FROM entities AS e) AS y, unnest(y.es) AS x
FROM CAST('a' AS text) AS x
FROM coalesce('a') AS x
FROM (VALUES (1, 2)) AS x
FROM (VALUES (1, 2)) AS x (ts_stat)
FROM (SELECT 1, 'a'::text, now()::date, lower('a'), CASE WHEN true THEN name END, (ARRAY[name])[1] FROM entities) AS x
FROM (SELECT 1 AS ts_stat) AS x (a)
FROM (SELECT *, e.*, 1 AS a FROM entities AS e NATURAL JOIN data_version) AS x
FROM (SELECT e.* FROM (entities AS e CROSS JOIN data_version) AS j, data_version AS e) AS x
FROM (SELECT d.changed_at AS at, d.data_version FROM data_version AS d UNION SELECT now(), 1) AS x
FROM (entities CROSS JOIN generate_series(0, 0) AS ts_stat) AS x
FROM (entities CROSS JOIN generate_series(0, 0)) AS x (pg_typeof)
FROM (WITH entities AS (SELECT 1 AS ts_stat) SELECT * FROM entities) AS x
FROM (WITH t (a) AS (SELECT 1 AS ts_stat) TABLE t) AS x
FROM (SELECT coalesce(1), nullif(1, 2), greatest(1, 2), ARRAY[1], ROW(1, 2), EXISTS (SELECT 1)) AS x
FROM (SELECT ARRAY(SELECT 1 AS name), least(1, 2), 1 IN (2), true, NULL, -1, 'a' LIKE 'b') AS x
FROM (SELECT CASE WHEN true THEN name END, CASE WHEN true THEN 'a' ELSE lower(name) END FROM entities) AS x
FROM (SELECT CASE WHEN true THEN 1 ELSE 2::int END, (CASE WHEN true THEN 1 END)::text FROM entities) AS x
FROM (SELECT (SELECT 1), (SELECT 2 AS ts_stat), (VALUES (1)), (SELECT lower('a') UNION SELECT 'b' AS c)) AS x
FROM (SELECT (SELECT 1)::text, (SELECT * FROM (SELECT 1 AS ts_stat) AS y), CASE WHEN true THEN 'a' ELSE (TABLE schema_version) END) AS x
FROM (SELECT 1::text, lower('a')::text, '2024-01-01'::date, date '2024-01-01', 1::numeric(10, 2), '{}'::int[]) AS x
FROM (SELECT current_date, localtime(1), current_timestamp, interval '1 day', now() AT TIME ZONE 'UTC') AS x
FROM (SELECT extract(year FROM now()), trim('a'), trim(both name FROM 'a'), position('a' IN 'b'), 'a' IS NORMALIZED FROM entities) AS x
FROM (SELECT normalize('a'), overlay('a' PLACING 'b' FROM 1), 'a' COLLATE "C", lower('a') COLLATE "C", grouping(name) FROM entities GROUP BY name) AS x
FROM (SELECT (jsonb_each(attributes)).key, (jsonb_each(attributes)).*, (ARRAY[name])[1], (jsonb_each(attributes)).value[1] FROM entities) AS x
FROM (SELECT JSON_OBJECT('a': 1), JSON_ARRAY(1), JSON_VALUE('1', '$'), JSON_SCALAR(1), JSON('1'), JSON_SERIALIZE('1')) AS x
FROM (SELECT JSON_ARRAYAGG(1), JSON_OBJECTAGG('a': 1), JSON_EXISTS('1', '$'), JSON_QUERY('1', '$'), JSON_ARRAY(SELECT 1)) AS x
FROM jsonb_to_recordset('[]') AS x (a int, ts_stat text)
FROM ROWS FROM (jsonb_to_recordset('[]') AS (ts_stat int), generate_series(1, 2)) AS x
FROM ROWS FROM (jsonb_to_recordset('[]') AS (ts_stat int), generate_series(1, 2)) AS x (a, b)
FROM plainto_tsquery('simple', 'a') AS x
FROM JSON_TABLE('[1]'::jsonb, '$' COLUMNS (a int PATH '$', NESTED '$' AS text COLUMNS (ts_stat int PATH '$'))) AS x
FROM JSON_TABLE('[1]'::jsonb, '$' AS text COLUMNS (ts_stat int PATH '$', n FOR ORDINALITY)) AS x (a)
FROM entities JOIN time_series_data USING (canonical_id, source) AS x
FROM (entities JOIN time_series_data USING (canonical_id) AS x) AS y, (SELECT 1 AS ts_stat) AS x
FROM (WITH RECURSIVE t (a) AS (SELECT 1 UNION ALL SELECT a FROM t) SEARCH DEPTH FIRST BY a SET ts_stat TABLE t) AS x
FROM (WITH RECURSIVE t (a) AS (SELECT 1 UNION ALL SELECT a FROM t) CYCLE a SET name USING text SELECT * FROM t) AS x
FROM (WITH RECURSIVE t (a) AS (SELECT 1 UNION ALL SELECT a FROM t) CYCLE a SET name USING text SELECT t.text FROM t) AS x
FROM (SELECT (VALUES (1))::text, (SELECT 'a')::name, (SELECT lower('a'))::text, CASE WHEN true THEN 1 ELSE (VALUES (2)) END) AS x
