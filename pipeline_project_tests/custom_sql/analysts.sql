-- More of what analysts write, one statement a line. The guard must let each pass, and each must run.
-- padding, templates, numbers as text
SELECT lpad(total_orders::text, 8, '0') AS padded, rpad(name, 20, '.'), rpad(name, 20) FROM entities
SELECT format('%s (%s)', name, source) AS label FROM entities
SELECT format('%-10s|%5s', source, total_orders) FROM entities
SELECT format('%1$s has %2$s orders, %1$s is active', name, total_orders) FROM entities WHERE status = 'active'
SELECT format('%I = %L, 100%%', 'Name', name) FROM entities
SELECT format('%s, %s', VARIADIC ARRAY[name, source]) FROM entities
SELECT repeat('*', least(total_orders, 50)::int) AS bar, total_orders FROM entities ORDER BY total_orders DESC NULLS LAST
SELECT to_hex(employees), to_oct(employees), to_bin(employees) FROM entities
SELECT to_hex(255) AS hex, to_bin(5) AS bin, to_oct(8) AS oct
SELECT to_char(revenue, 'FM999,999,990.00') AS amount FROM entities
SELECT left(name, 1) || repeat('*', greatest(length(name) - 1, 0)) AS masked FROM entities
SELECT concat_ws(', ', name, industry, country) AS label, initcap(lower(name)) FROM entities
SELECT ascii(name), chr(65), unistr('\0041'), casefold(name), unicode_assigned(name) FROM entities
SELECT translate(name, 'äöü', 'aou'), replace(name, ' ', '_'), reverse(name) FROM entities
SELECT split_part(canonical_id, '_', 2) AS number, split_part(name, ' ', -1) AS last FROM entities
SELECT regexp_count(name, '[aeiou]', 1, 'i') AS vowels, regexp_substr(name, '\d+') AS digits, regexp_instr(name, '\s') FROM entities
SELECT regexp_split_to_array(name, '\s+') AS words FROM entities
SELECT name FROM entities WHERE regexp_like(name, '^entity', 'i')
SELECT regexp_match(canonical_id, '^([a-z]+)_(\d+)$') AS parts FROM entities
SELECT regexp_replace(name, '(\w+) (\w+)', '\2, \1') FROM entities
SELECT trim(both '-' from name), trim(leading from name), trim(trailing 'x' from name), btrim(name), ltrim(name, '0') FROM entities
SELECT position(' ' in name), strpos(name, ' '), substring(name from '\d+'), substring(name similar '%#"[0-9]+#"%' escape '#') FROM entities
SELECT position(source in canonical_id) AS place FROM entities
-- Unicode
SELECT normalize(name) AS composed, normalize(name, NFD) AS decomposed, normalize(name, NFKC) FROM entities
SELECT name FROM entities WHERE name IS NOT NFC NORMALIZED
SELECT count(*) FILTER (WHERE name IS NORMALIZED) AS fine, count(*) FROM entities
SELECT lower(normalize(name, NFKD)) AS key, count(*) FROM entities GROUP BY 1 HAVING count(*) > 1
-- hashes and bytes
SELECT encode(sha256(convert_to(name, 'UTF8')), 'hex') AS digest FROM entities
SELECT encode(sha256(name::bytea), 'base64') FROM entities WHERE name !~ '\\'
SELECT md5(name) AS sample_key FROM entities ORDER BY md5(canonical_id) LIMIT 10
SELECT encode(convert_to(name, 'UTF8'), 'hex'), octet_length(convert_to(name, 'UTF8')) FROM entities
SELECT convert_from(decode('c3a4', 'hex'), 'UTF8') AS letter
SELECT bit_count(5::bit(8)) AS ones, bit_count('\x0f'::bytea)
SELECT crc32(convert_to(canonical_id, 'UTF8')) % 10 AS bucket, count(*) FROM entities GROUP BY 1
SELECT employees & 1 AS odd, bit_and(employees), bit_or(employees), bit_xor(employees) FROM entities GROUP BY 1
-- identifiers and chance
SELECT uuidv7() AS id, gen_random_uuid() AS other, uuidv4() AS third
SELECT uuid_extract_timestamp('01900000-0000-7000-8000-000000000000'::uuid), uuid_extract_version(uuidv7())
SELECT random(1, 10) AS dice, random(), random_normal(0, 1)
SELECT name FROM entities WHERE random() < 0.5
SELECT name FROM entities ORDER BY random() LIMIT 5
SELECT array_sample(array_agg(name), 3) AS some, array_shuffle(ARRAY[1, 2, 3]) FROM entities
-- arrays
SELECT array_sort(array_agg(DISTINCT industry)) AS industries FROM entities
SELECT array_sort(ARRAY[3, 1, 2], true) AS down, array_reverse(ARRAY[1, 2, 3])
SELECT trim_array(array_agg(name ORDER BY revenue DESC NULLS LAST), 2) FROM entities
SELECT array_position(ARRAY['bronze', 'silver', 'gold'], customer_tier) AS tier FROM entities
SELECT array_remove(ARRAY[industry, region, country], NULL) AS known FROM entities
SELECT array_replace(ARRAY[industry, region], 'x', 'y'), array_dims(ARRAY[1, 2]), array_to_json(ARRAY[1, 2]) FROM entities
SELECT array_to_string(array_agg(name ORDER BY name), '; ', '-') FROM entities
SELECT string_to_array('a,b,c', ',') && ARRAY['a'] AS shared, ARRAY[1, 2] <@ ARRAY[1, 2, 3], ARRAY[1, 2, 3] @> ARRAY[1]
SELECT word, count(*) FROM entities, string_to_table(lower(name), ' ') AS word GROUP BY word ORDER BY count(*) DESC
SELECT words.word, words.place FROM entities, unnest(string_to_array(name, ' ')) WITH ORDINALITY AS words (word, place)
SELECT cardinality(string_to_array(name, ' ')) AS words, count(*) FROM entities GROUP BY 1
SELECT (string_to_array(canonical_id, '_'))[1] AS prefix FROM entities
SELECT u.a, u.b FROM unnest(ARRAY[1, 2], ARRAY['x', 'y']) AS u (a, b)
SELECT canonical_id FROM entities WHERE source = ANY ('{crm,erp}') AND status <> ALL (ARRAY['closed', 'lost'])
-- SQL/JSON
SELECT t.tag FROM entities, JSON_TABLE(attributes, '$.tags[*]' COLUMNS (tag text PATH '$')) AS t
SELECT e.name, t.n, t.tag FROM entities e, JSON_TABLE(e.attributes, '$.tags[*]' COLUMNS (n FOR ORDINALITY, tag text PATH '$')) AS t
SELECT t.* FROM entities e, JSON_TABLE(e.attributes, '$.items[*]' COLUMNS (sku text PATH '$.sku', qty int PATH '$.qty' DEFAULT 0 ON EMPTY, paid boolean EXISTS PATH '$.paid')) AS t
SELECT o.id, o.sku FROM JSON_TABLE('[{"id": 1, "lines": [{"sku": "a"}]}]'::jsonb, '$[*]' COLUMNS (id int PATH '$.id', NESTED PATH '$.lines[*]' COLUMNS (sku text PATH '$.sku'))) AS o
SELECT t.raw FROM JSON_TABLE('{"a": [1, 2]}'::jsonb, '$' COLUMNS (raw jsonb FORMAT JSON PATH '$.a' WITH WRAPPER)) AS t
SELECT JSON_VALUE(attributes, '$.email') AS email FROM entities
SELECT JSON_VALUE(attributes, '$.score' RETURNING numeric DEFAULT 0 ON EMPTY NULL ON ERROR) AS score FROM entities
SELECT JSON_QUERY(attributes, '$.tags' WITH WRAPPER) AS tags, JSON_QUERY(attributes, '$.address') FROM entities
SELECT name FROM entities WHERE JSON_EXISTS(attributes, '$.tags[*] ? (@ == $tag)' PASSING 'vip' AS tag)
SELECT JSON_OBJECT('name': name, 'revenue': revenue ABSENT ON NULL) FROM entities
SELECT JSON_OBJECT('name' VALUE name, 'source' VALUE source RETURNING jsonb) AS document FROM entities
SELECT JSON_ARRAY(name, source, revenue), JSON_ARRAY(SELECT DISTINCT source FROM entities) FROM entities LIMIT 1
SELECT source, JSON_ARRAYAGG(name ORDER BY name) AS names FROM entities GROUP BY source
SELECT JSON_OBJECTAGG(canonical_id : revenue ABSENT ON NULL WITH UNIQUE KEYS) FROM entities
SELECT JSON_SCALAR(revenue), JSON(attributes::text), JSON_SERIALIZE(attributes::json RETURNING text) FROM entities
SELECT q.json_object ->> 'a' AS a FROM (SELECT JSON_OBJECT('a': 1)) AS q
-- functions of jsonb
SELECT (jsonb_each(attributes)).key FROM entities
SELECT DISTINCT (jsonb_each_text(attributes)).value FROM entities
SELECT canonical_id, (jsonb_each(attributes)).* FROM entities
SELECT q.key, count(*) FROM (SELECT (jsonb_each(attributes)).* FROM entities) AS q GROUP BY q.key
SELECT x.sku, sum(x.qty) FROM jsonb_to_recordset('[{"sku": "a", "qty": 2}]') AS x(sku text, qty int) GROUP BY x.sku
SELECT e.name, line.sku FROM entities e, jsonb_to_recordset(e.attributes -> 'lines') AS line (sku text, price numeric(10, 2))
SELECT a.city, a.zip FROM entities e, jsonb_to_record(e.attributes -> 'address') AS a (city text, zip text)
SELECT * FROM json_to_record('{"a": 1, "b": [1, 2]}') AS r (a int, b int[])
SELECT jsonb_pretty(attributes) FROM entities LIMIT 1
SELECT name FROM entities WHERE attributes @@ '$.score > 10'
SELECT name FROM entities WHERE attributes @? '$.tags[*] ? (@ starts with "v")'
SELECT jsonb_path_query_array(attributes, '$.tags[*].type()') FROM entities
SELECT jsonb_path_match(attributes, 'exists($.email)'), jsonb_path_query_first(attributes, '$.*') FROM entities
SELECT jsonb_path_query(attributes, '$.items[*] ? (@.price > $least)', '{"least": 10}') FROM entities
SELECT attributes - 'email' AS without, attributes - ARRAY['email', 'phone'], attributes #- '{address,zip}' FROM entities
SELECT name FROM entities WHERE attributes ?| ARRAY['email', 'phone'] OR attributes ?& ARRAY['vip', 'tags']
SELECT jsonb_insert(attributes, '{tags,0}', '"new"'), jsonb_set_lax(attributes, '{a}', NULL, true, 'use_json_null') FROM entities WHERE attributes ? 'tags'
SELECT jsonb_object(ARRAY['a', 'b'], ARRAY['1', '2']), json_object('{a,1}'), json_strip_nulls('{"a": null}')
SELECT jsonb_object_agg(source, n ORDER BY source) FROM (SELECT source, count(*) AS n FROM entities GROUP BY source) AS s
SELECT jsonb_agg_strict(industry), jsonb_object_agg_unique_strict(canonical_id, revenue), json_agg(name) FROM entities
SELECT attributes['address']['city'] AS city, metadata['ordinal']::int FROM entities
SELECT key, jsonb_typeof(value) AS kind, count(*) FROM entities, jsonb_each(attributes) GROUP BY 1, 2
SELECT jsonb_strip_nulls(to_jsonb(e)) - 'attributes' AS document FROM entities e LIMIT 1
-- ranges
SELECT v.canonical_id, tstzrange(v.valid_from, v.valid_to) @> timestamptz '2024-06-01 00:00+00' AS then FROM entity_versions v
SELECT count(*) FROM entity_versions a JOIN entity_versions b ON a.canonical_id = b.canonical_id AND a.version < b.version AND tstzrange(a.valid_from, a.valid_to) && tstzrange(b.valid_from, b.valid_to)
SELECT lower(r.r), upper(r.r), upper_inf(r.r), isempty(r.r) FROM (SELECT daterange('2024-01-01', '2024-02-01', '[)') AS r) AS r
SELECT numrange(0, 100) * numrange(50, 200) AS common, int4range(1, 5) -|- int4range(5, 9), int8range(1, 3) << int8range(7, 9)
SELECT name FROM entities WHERE revenue <@ numrange(10, 20)
SELECT range_merge(int4range(1, 3), int4range(7, 9)), range_intersect_agg(r) FROM (VALUES (int4range(1, 9)), (int4range(2, 5))) AS v (r)
SELECT '[2024-01-01,2024-02-01)'::daterange, tsrange(timestamp '2024-01-01', NULL) AS open
-- graphs
WITH RECURSIVE tree (id, parent) AS (SELECT child_canonical_id, parent_canonical_id FROM entity_relationships WHERE parent_canonical_id = 'crm_1' UNION ALL SELECT r.child_canonical_id, r.parent_canonical_id FROM tree JOIN entity_relationships r ON r.parent_canonical_id = tree.id) SEARCH DEPTH FIRST BY id SET place SELECT id, place FROM tree ORDER BY place
WITH RECURSIVE tree (id) AS (SELECT 'crm_1'::text UNION ALL SELECT r.child_canonical_id FROM tree JOIN entity_relationships r ON r.parent_canonical_id = tree.id) SEARCH BREADTH FIRST BY id SET place SELECT tree.id, tree.place FROM tree ORDER BY tree.place
WITH RECURSIVE walk (id) AS (SELECT 'crm_1'::text UNION ALL SELECT r.child_canonical_id FROM walk JOIN entity_relationships r ON r.parent_canonical_id = walk.id) CYCLE id SET looped USING path SELECT id, looped, path FROM walk WHERE NOT looped
WITH RECURSIVE walk (id) AS (SELECT 'crm_1'::text UNION ALL SELECT r.child_canonical_id FROM walk JOIN entity_relationships r ON r.parent_canonical_id = walk.id) CYCLE id SET looped TO 'y' DEFAULT 'n' USING path SELECT walk.id FROM walk WHERE walk.looped = 'n'
WITH RECURSIVE depth AS (SELECT canonical_id, 1 AS level FROM entities UNION ALL SELECT r.child_canonical_id, level + 1 FROM depth JOIN entity_relationships r ON r.parent_canonical_id = depth.canonical_id WHERE level < 4) SELECT level, count(*) FROM depth GROUP BY level
-- order by a collation, joins with a name
SELECT name FROM entities ORDER BY name COLLATE "C"
SELECT name FROM entities WHERE name < 'M' COLLATE "C" ORDER BY lower(name) COLLATE pg_catalog."pg_c_utf8"
SELECT max(name COLLATE "ucs_basic") FROM entities
SELECT j.canonical_id, count(*) FROM entities e JOIN time_series_data t USING (canonical_id) AS j GROUP BY j.canonical_id
SELECT j.source, e.name FROM entities e LEFT JOIN time_series_data t USING (canonical_id, source) AS j
-- text search
SELECT name FROM entities WHERE to_tsvector('english', name) @@ to_tsquery('english', 'entity & !closed')
SELECT name, ts_rank(to_tsvector('simple', name), q.q) AS rank FROM entities, plainto_tsquery('simple', 'entity') AS q WHERE to_tsvector('simple', name) @@ q.q ORDER BY rank DESC
SELECT ts_headline('english', name, websearch_to_tsquery('english', 'entity or acme')) FROM entities
SELECT to_tsvector('simple', name) @@ phraseto_tsquery('simple', 'big company'), to_tsvector(name) FROM entities
SELECT strip(to_tsvector('simple', name)), length(to_tsvector('simple', name)), setweight(to_tsvector('simple', name), 'A') FROM entities
SELECT ts_rank_cd(to_tsvector('simple', name), 'entity'::tsquery), tsvector_to_array(to_tsvector('simple', name)) FROM entities
SELECT count(*) FROM entities WHERE to_tsvector('simple', attributes) @@ 'vip'::tsquery
SELECT 'fat & rat'::tsquery && 'cat'::tsquery AS both, !! 'cat'::tsquery, 'a'::tsquery <-> 'b'::tsquery, numnode('a & b'::tsquery)
-- likeness
SELECT name, name <-> 'Acme' AS distance FROM entities ORDER BY distance LIMIT 5
SELECT name FROM entities WHERE name % 'Entity' ORDER BY similarity(name, 'Entity') DESC
SELECT a.name, b.name, similarity(a.name, b.name) FROM entities a JOIN entities b ON a.canonical_id < b.canonical_id AND a.source <> b.source AND a.name % b.name
SELECT name FROM entities WHERE 'entity' <% name ORDER BY 'entity' <<-> name
SELECT word_similarity('ent', name), strict_word_similarity('entity', name), show_trgm(name) FROM entities LIMIT 3
SELECT name FROM entities WHERE name ^@ 'Ent' AND starts_with(canonical_id, 'crm_')
-- names that PostgreSQL gives
SELECT q.coalesce FROM (SELECT coalesce(industry, 'none') FROM entities) AS q
SELECT q."case", count(*) FROM (SELECT CASE WHEN revenue > 10 THEN 'big' ELSE 'small' END FROM entities) AS q GROUP BY q."case"
SELECT q.date FROM (SELECT date '2024-01-01') AS q
SELECT q.source_updated_at FROM (SELECT source_updated_at::date FROM entities) AS q
SELECT q.array FROM (SELECT ARRAY[1, 2]) AS q
SELECT q.array FROM (SELECT ARRAY(SELECT name FROM entities)) AS q
SELECT q.nullif, q.greatest, q.least FROM (SELECT nullif(region, ''), greatest(revenue, 0), least(employees, 5) FROM entities) AS q
SELECT q.exists FROM (SELECT EXISTS (SELECT 1 FROM entities)) AS q
SELECT q.row IS NULL AS missing FROM (SELECT ROW(1, 2)) AS q
SELECT q.current_date, q.extract FROM (SELECT current_date, extract(year FROM now())) AS q
SELECT q.date_trunc, q.sum FROM (SELECT date_trunc('month', metric_date), sum(value) FROM time_series_data GROUP BY 1) AS q
SELECT q.count FROM (SELECT (SELECT count(*) FROM entities)) AS q
SELECT q.text, q.numeric FROM (SELECT 1::text, '2'::numeric) AS q
SELECT q.interval, q.timezone FROM (SELECT interval '1 day', now() AT TIME ZONE 'UTC') AS q
SELECT q.grouping, q.industry FROM (SELECT grouping(industry), industry FROM entities GROUP BY ROLLUP (industry)) AS q
SELECT q.name FROM (SELECT name COLLATE "C" FROM entities) AS q
SELECT q.btrim, q.position FROM (SELECT trim(name), position('a' in name) FROM entities) AS q
SELECT q.json_value, q.jsonb_pretty FROM (SELECT JSON_VALUE(attributes, '$.a'), jsonb_pretty(attributes) FROM entities) AS q
-- time
SELECT date_trunc('quarter', source_updated_at) AS quarter, count(*) FROM entities GROUP BY 1 ORDER BY 1
SELECT extract(isodow FROM metric_date) AS weekday, avg(value) FROM time_series_data GROUP BY 1
SELECT metric_date, value - lag(value) OVER (PARTITION BY canonical_id, metric_type ORDER BY metric_date) AS change FROM time_series_data
SELECT metric_date, avg(value) OVER (ORDER BY metric_date RANGE BETWEEN interval '7 days' PRECEDING AND CURRENT ROW) FROM time_series_data
SELECT to_char(metric_date, 'IYYY-IW') AS week, sum(value) FROM time_series_data GROUP BY 1
SELECT date_bin('15 minutes', source_updated_at, timestamptz '2000-01-01 00:00+00') AS slot, count(*) FROM entities GROUP BY 1
SELECT make_date(2024, 2, 29) + interval '1 year', date '2024-03-01' - date '2024-02-01', justify_days(interval '40 days')
SELECT (date '2024-01-01', date '2024-06-30') OVERLAPS (date '2024-06-01', date '2024-12-31') AS shared
SELECT source_updated_at AT TIME ZONE 'America/New_York', timezone('UTC', source_updated_at) FROM entities
SELECT date_add(source_updated_at, interval '1 month', 'Europe/Berlin'), date_subtract(source_updated_at, interval '1 day') FROM entities
-- numbers and statistics
SELECT percentile_disc(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY revenue) FROM entities
SELECT rank(100) WITHIN GROUP (ORDER BY revenue), percent_rank(5) WITHIN GROUP (ORDER BY revenue) FROM entities
SELECT round(avg(revenue), 2), stddev(revenue), variance(revenue), regr_r2(revenue, employees) FROM entities
SELECT cot(1), sind(30), atan2d(1, 1), sinh(1), erf(0.5), gamma(5), ||/ 27.0, |/ 16.0, @ -5, gcd(12, 18), lcm(4, 6)
SELECT source, sum(revenue) / sum(sum(revenue)) OVER () AS share FROM entities GROUP BY source
SELECT name, revenue, sum(revenue) OVER (ORDER BY revenue DESC NULLS LAST) AS running FROM entities
SELECT name FROM (SELECT name, ntile(10) OVER (ORDER BY revenue) AS decile FROM entities) AS t WHERE t.decile = 10
SELECT width_bucket(revenue, ARRAY[0, 10, 100]::numeric[]) AS bucket, count(*) FROM entities GROUP BY 1
SELECT log(2, 1024), ln(2.718), exp(1.0), power(2, 10), sqrt(2.0), trim_scale(1.500), min_scale(1.50), mod(7, 3), div(7, 2)
-- several tables
SELECT e.canonical_id FROM entities e LEFT JOIN entity_relationships r ON r.parent_canonical_id = e.canonical_id WHERE r.parent_canonical_id IS NULL
SELECT source, dataset, sum(rejects) AS rejects FROM reject_counts GROUP BY GROUPING SETS ((source, dataset), (source), ())
SELECT state, count(*), sum(records), max(finished_at - started_at) FROM objects GROUP BY state
SELECT DISTINCT ON (canonical_id) canonical_id, name, valid_from FROM entity_versions ORDER BY canonical_id, valid_from DESC
SELECT a.canonical_id, a.version, b.version FROM entity_versions a JOIN entity_versions b ON b.canonical_id = a.canonical_id AND b.version = a.version + 1 WHERE a.name IS DISTINCT FROM b.name
WITH m AS MATERIALIZED (SELECT source, avg(revenue) AS mean FROM entities GROUP BY source) SELECT e.name FROM entities e JOIN m USING (source) WHERE e.revenue > m.mean
SELECT e.name, t.values FROM entities e CROSS JOIN LATERAL (SELECT array_agg(value ORDER BY metric_date) AS values FROM time_series_data m WHERE m.canonical_id = e.canonical_id) AS t
SELECT (SELECT data_version FROM data_version) AS data, (SELECT schema_version FROM schema_version) AS schema
SELECT count(*) FROM entities WHERE (source, source_id) NOT IN (SELECT source, dataset FROM reject_counts WHERE dataset IS NOT NULL)
SELECT v.name, v.least FROM (VALUES ('bronze', 0), ('silver', 100), ('gold', 1000)) AS v (name, least)
