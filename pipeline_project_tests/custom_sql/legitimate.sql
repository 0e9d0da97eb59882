SELECT count(*) FROM entities
SELECT * FROM entities ORDER BY canonical_id LIMIT 10
select source, count(*) from analytics.entities group by source order by 2 desc
SELECT industry, sum(revenue) AS total FROM entities WHERE revenue IS NOT NULL GROUP BY industry HAVING sum(revenue) > 1000 ORDER BY total DESC
SELECT e.name, r.child_canonical_id FROM entities e JOIN entity_relationships r ON r.parent_canonical_id = e.canonical_id
SELECT e.name FROM entities e LEFT JOIN time_series_data t USING (canonical_id) WHERE t.canonical_id IS NULL
WITH big AS (SELECT * FROM entities WHERE revenue > 1e6) SELECT region, avg(revenue) FROM big GROUP BY region
WITH RECURSIVE tree AS (SELECT canonical_id, 0 AS depth FROM entities WHERE canonical_id = $1 UNION SELECT r.child_canonical_id, depth + 1 FROM tree JOIN entity_relationships r ON r.parent_canonical_id = tree.canonical_id WHERE depth < 5) SELECT * FROM tree
SELECT name, rank() OVER (PARTITION BY industry ORDER BY revenue DESC NULLS LAST) FROM entities
SELECT name, sum(revenue) OVER w FROM entities WINDOW w AS (PARTITION BY region ORDER BY name ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)
SELECT date_trunc('month', metric_date) AS month, avg(value) FROM time_series_data WHERE metric_type = 'revenue' GROUP BY 1 ORDER BY 1
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY revenue) FROM entities
SELECT mode() WITHIN GROUP (ORDER BY industry) FROM entities
SELECT count(*) FILTER (WHERE status = 'active'), count(DISTINCT industry) FROM entities
SELECT industry, region, count(*) FROM entities GROUP BY ROLLUP (industry, region)
SELECT industry, region, grouping(industry, region), count(*) FROM entities GROUP BY CUBE (industry, region)
SELECT industry, region, count(*) FROM entities GROUP BY GROUPING SETS ((industry), (region), ())
SELECT CASE WHEN revenue > 1000 THEN 'big' WHEN revenue IS NULL THEN 'unknown' ELSE 'small' END AS size, count(*) FROM entities GROUP BY 1
SELECT coalesce(industry, 'none'), nullif(region, ''), greatest(revenue, 0), least(employees, 10) FROM entities
SELECT attributes ->> 'email' AS email FROM entities WHERE attributes ? 'email'
SELECT attributes #>> '{address,city}' FROM entities WHERE attributes @> '{"vip": true}'
SELECT key, count(*) FROM entities, jsonb_each(attributes) AS a (key, value) GROUP BY key
SELECT canonical_id, tag FROM entities, jsonb_array_elements_text(attributes -> 'tags') AS tag
SELECT name FROM entities WHERE name ILIKE 'a%' AND name NOT LIKE '%z'
SELECT name FROM entities WHERE name ~* '^(acme|globex)'
SELECT name FROM entities WHERE name SIMILAR TO '(A|B)%'
SELECT * FROM entities WHERE revenue BETWEEN 10 AND 100 AND industry IN ('x', 'y') AND region NOT IN ('z')
SELECT * FROM entities WHERE canonical_id = ANY (ARRAY['crm_1', 'erp_1'])
SELECT name FROM entities e WHERE EXISTS (SELECT 1 FROM entity_versions v WHERE v.canonical_id = e.canonical_id)
SELECT name, (SELECT count(*) FROM entity_relationships r WHERE r.parent_canonical_id = e.canonical_id) AS children FROM entities e
SELECT source FROM entities UNION SELECT source FROM time_series_data ORDER BY 1
SELECT canonical_id FROM entities EXCEPT SELECT canonical_id FROM time_series_data
SELECT canonical_id FROM entities INTERSECT ALL SELECT canonical_id FROM time_series_data
SELECT DISTINCT ON (industry) industry, name, revenue FROM entities ORDER BY industry, revenue DESC
SELECT revenue::float8 / NULLIF(employees, 0) AS per_head, round(revenue, 2), CAST(employees AS numeric(20, 2)) FROM entities
SELECT to_char(source_updated_at, 'YYYY-MM'), extract(year FROM source_updated_at), source_updated_at AT TIME ZONE 'Europe/Berlin' FROM entities
SELECT now() - source_updated_at AS age, current_date, current_timestamp, age(source_updated_at) FROM entities
SELECT d::date, count(e.canonical_id) FROM generate_series(date '2024-01-01', date '2024-12-01', interval '1 month') AS d LEFT JOIN entities e ON e.source_updated_at >= d GROUP BY d
SELECT string_agg(DISTINCT industry, ', ' ORDER BY industry) FROM entities
SELECT array_agg(name ORDER BY revenue DESC) FILTER (WHERE revenue > 0) FROM entities
SELECT (array_agg(name ORDER BY revenue DESC))[1:3] FROM entities
SELECT jsonb_build_object('name', name, 'revenue', revenue) FROM entities LIMIT 5
SELECT upper(left(name, 3)), lower(name), initcap(name), length(name), trim(both ' ' FROM name), substring(name FROM 1 FOR 2), position('a' IN name), overlay(name PLACING 'x' FROM 1) FROM entities
SELECT regexp_replace(name, '\s+(inc|ltd)\.?$', '', 'i') FROM entities
SELECT split_part(canonical_id, '_', 1), concat_ws('-', source, name), name || ' (' || source || ')' FROM entities
SELECT lag(value) OVER (ORDER BY metric_date), lead(value, 2) OVER (ORDER BY metric_date), first_value(value) OVER (ORDER BY metric_date) FROM time_series_data
SELECT ntile(4) OVER (ORDER BY revenue), row_number() OVER (), cume_dist() OVER (ORDER BY revenue) FROM entities
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (n, t)
VALUES (1), (2)
TABLE reject_counts
SELECT t.* FROM entities e CROSS JOIN LATERAL (SELECT * FROM time_series_data t WHERE t.canonical_id = e.canonical_id ORDER BY metric_date DESC LIMIT 1) t
SELECT width_bucket(revenue, 0, 1000, 10) AS bucket, count(*) FROM entities GROUP BY 1 ORDER BY 1
SELECT corr(revenue, employees), stddev_samp(revenue), regr_slope(revenue, employees) FROM entities
SELECT revenue IS DISTINCT FROM 5, status IS NOT NULL, (revenue > 5) IS TRUE, NOT (revenue > 5) FROM entities
SELECT * FROM entities ORDER BY revenue DESC NULLS LAST OFFSET 5 FETCH FIRST 10 ROWS WITH TIES
SELECT "name" AS "The Name" FROM "entities" -- a remark
SELECT /* a remark */ 1 + 2 * 3 % 5 - -1, 2 ^ 0.5;
SELECT e.name, o.key FROM entities e JOIN objects o ON o.object_id = (e.metadata ->> 'object_id')::bigint
SELECT (e.metadata -> 'quality_score')::float8 AS q FROM entities e WHERE e.metadata['ordinal'] IS NOT NULL
SELECT extensions_free.name FROM entities AS extensions_free WHERE similarity(extensions_free.name, 'Acme') > 0.3
SELECT make_interval(days => 3), make_date(2024, 1, 2), date '2024-01-31' + interval '1 day', time '10:00'
SELECT ROW(1, 2) = ROW(1, 2), (1, 2) < (2, 3), ARRAY[1, 2] || 3, 2 = ALL (SELECT 2)
SELECT data_version, changed_at FROM data_version
SELECT DATE_BIN('15 minutes', source_updated_at, timestamptz '2024-01-01') FROM entities
SELECT count(*) FROM entities WHERE ($1 = 'x' OR source = $1) AND revenue > 0
SELECT U&'d\0061ta', E'a\nb', $$dollar$$, 'it''s', B'101', 1.5e3, 0x1F, 1_000
SELECT NULL, true, false, ARRAY[]::text[], '{1,2}'::int[]
SELECT tag, place FROM entities, jsonb_array_elements_text(attributes -> 'tags') WITH ORDINALITY AS t (tag, place)
SELECT concat_ws('-', VARIADIC ARRAY['a', 'b'])
SELECT * FROM entities NATURAL JOIN data_version
SELECT industry FROM entities GROUP BY DISTINCT ROLLUP (industry, region), ROLLUP (industry)
SELECT sum(value) OVER (ORDER BY metric_date ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW) FROM time_series_data
SELECT * FROM ROWS FROM (generate_series(1, 3), generate_series(1, 2)) AS g (a, b)
SELECT entities.* FROM entities WHERE (industry, region) IN (SELECT industry, region FROM entities)
SELECT rank() OVER (ordered ROWS UNBOUNDED PRECEDING) FROM entities WINDOW base AS (PARTITION BY region), ordered AS (base ORDER BY revenue)
WITH RECURSIVE tree AS (SELECT e.canonical_id AS id, ARRAY[e.canonical_id] AS path FROM entities e UNION ALL SELECT r.child_canonical_id, tree.path || r.child_canonical_id FROM tree JOIN entity_relationships r ON r.parent_canonical_id = tree.id WHERE r.child_canonical_id <> ALL (tree.path)) SELECT tree.id, cardinality(tree.path) FROM tree
SELECT s.industry, s.count, s.total, s.rank FROM (SELECT industry, count(*), sum(revenue) AS total, rank() OVER (ORDER BY sum(revenue)) FROM entities GROUP BY industry) AS s
SELECT t.name, t.revenue FROM (SELECT * FROM entities) AS t UNION ALL SELECT t.source, t.n FROM (SELECT source, count(*) AS n FROM entities GROUP BY source) AS t
WITH big AS (SELECT e.*, e.revenue / 12 AS monthly FROM entities e), ranked AS (SELECT *, row_number() OVER (ORDER BY big.monthly) AS place FROM big) SELECT r.name, r.monthly, r.place FROM ranked r WHERE r.place <= 10
SELECT a.key, a.value, g.g, tag.value, part.part FROM entities e, jsonb_each_text(e.attributes) AS a, generate_series(1, 2) AS g, jsonb_array_elements(e.attributes -> 'tags') AS tag, string_to_table(e.name, ' ') AS part
SELECT v.n, v.column2, w.column1, w.column2 FROM (VALUES (1, 'a')) AS v (n, column2), (VALUES (1, 2)) AS w
SELECT j.name, j.data_version FROM (entities CROSS JOIN data_version) AS j
SELECT months.month, d.ordinality, d.d FROM generate_series(date '2024-01-01', date '2024-12-01', interval '1 month') AS months (month), generate_series(1, 2) WITH ORDINALITY AS d
SELECT analytics.entities.name FROM analytics.entities
SELECT e.name, latest.value FROM entities e LEFT JOIN LATERAL (SELECT t.value FROM time_series_data t WHERE t.canonical_id = e.canonical_id ORDER BY t.metric_date DESC LIMIT 1) AS latest ON true
WITH totals (industry, total) AS (SELECT industry, sum(revenue) FROM entities GROUP BY industry) SELECT t.industry, t.total FROM totals t
WITH RECURSIVE steps (n, total) AS (VALUES (1, 1) UNION ALL SELECT n + 1, total + n FROM steps WHERE n < 10) SELECT steps.total FROM steps
SELECT canonical_id FROM entities WHERE attributes @? '$.tags[*] ? (@ == "vip")' AND attributes ->> 'raw' IS JSON OBJECT WITH UNIQUE KEYS AND name IS NOT JSON
SELECT jsonb_set(attributes, '{checked}', 'true') FROM entities
