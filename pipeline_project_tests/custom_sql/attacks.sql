-- One statement a line, which the guard must refuse by itself. A line that starts with two dashes and a blank is a heading.
-- stacked statements
SELECT 1; SELECT 2
SELECT 1; DROP TABLE canonical.entities
SELECT 1; DELETE FROM canonical.entities; --
SELECT 1;; SELECT 2
; DELETE FROM canonical.entities
SELECT 1 /* ; */ ; /* x */ INSERT INTO canonical.entities DEFAULT VALUES
SELECT 'a'';' ; TRUNCATE canonical.entities
SELECT $a$;$a$; TRUNCATE canonical.entities
-- transaction tricks
COMMIT
COMMIT; DELETE FROM canonical.entities
ROLLBACK; DELETE FROM canonical.entities; BEGIN
SELECT 1; COMMIT; SET default_transaction_read_only = off
BEGIN READ WRITE
SET TRANSACTION READ WRITE
SAVEPOINT a
PREPARE TRANSACTION 'x'
END
ABORT
-- statements that are not SELECT
INSERT INTO canonical.entities DEFAULT VALUES
UPDATE canonical.entities SET name = 'x'
DELETE FROM canonical.entities
MERGE INTO canonical.entities t USING canonical.entities s ON false WHEN NOT MATCHED THEN DO NOTHING
TRUNCATE canonical.entities
DROP VIEW analytics.entities
DROP SCHEMA analytics CASCADE
CREATE TABLE analytics.t (a int)
CREATE TEMP TABLE t (a int)
CREATE TEMP TABLE t AS SELECT * FROM entities
CREATE VIEW analytics.v AS SELECT 1
CREATE FUNCTION analytics.f() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE EXTENSION dblink
CREATE ROLE evil SUPERUSER
ALTER ROLE pipeline_reader SUPERUSER
ALTER ROLE pipeline_reader PASSWORD 'changed'
ALTER ROLE pipeline_reader SET statement_timeout = 0
ALTER ROLE CURRENT_USER PASSWORD 'changed'
GRANT pipeline_owner TO pipeline_reader
ALTER TABLE canonical.entities DROP COLUMN name
ALTER SYSTEM SET fsync = off
GRANT ALL ON canonical.entities TO PUBLIC
SET ROLE pipeline_owner
SET SESSION AUTHORIZATION pipeline_owner
SET statement_timeout = 0
SET LOCAL search_path = canonical
RESET ALL
DISCARD ALL
SHOW data_directory
LOCK TABLE canonical.entities
LISTEN x
NOTIFY x, 'y'
VACUUM
ANALYZE canonical.entities
CHECKPOINT
CLUSTER
REINDEX DATABASE postgres
LOAD 'plpgsql'
CALL pg_catalog.x()
EXECUTE x
PREPARE x AS SELECT 1
DECLARE c CURSOR FOR SELECT 1
FETCH 1 FROM statement
CLOSE ALL
MOVE ALL FROM statement
EXPLAIN SELECT 1
EXPLAIN ANALYZE DELETE FROM canonical.entities
EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM entities
DO $$ BEGIN PERFORM pg_sleep(1); END $$
DO LANGUAGE plpgsql 'BEGIN EXECUTE ''DROP TABLE canonical.entities''; END'
COPY canonical.entities TO STDOUT
COPY entities TO PROGRAM 'touch /tmp/owned'
COPY entities FROM PROGRAM 'id'
COPY (SELECT 1) TO '/tmp/owned'
-- writes inside of a SELECT
WITH gone AS (DELETE FROM canonical.entities RETURNING *) SELECT * FROM gone
WITH new AS (INSERT INTO canonical.entities DEFAULT VALUES RETURNING 1) SELECT 1
WITH new AS (UPDATE canonical.entities SET name = 'x' RETURNING 1) TABLE new
WITH m AS (MERGE INTO canonical.entities t USING entities s ON false WHEN NOT MATCHED THEN DO NOTHING RETURNING 1) SELECT 1
SELECT * INTO TEMP t FROM entities
SELECT * INTO analytics.t FROM entities
SELECT 1 INTO t
SELECT * FROM entities FOR UPDATE
SELECT * FROM entities FOR SHARE
SELECT * FROM (SELECT * FROM entities FOR NO KEY UPDATE) AS x
SELECT * FROM entities FOR KEY SHARE SKIP LOCKED
-- calls that look like fields
SELECT (0.3::float8).pg_sleep
SELECT ($1).pg_sleep
SELECT ('0.3').pg_sleep
SELECT (SELECT 0.3::float8).pg_sleep
SELECT (ARRAY[0.3])[1].pg_sleep
SELECT (e.revenue).pg_sleep FROM entities AS e
SELECT g.pg_sleep FROM generate_series(0, 0) AS g
SELECT generate_series.pg_sleep FROM generate_series(0, 0)
SELECT 1 FROM entities AS e ORDER BY e.pg_column_size
SELECT e.pg_column_size FROM entities AS e
SELECT entities.pg_column_size FROM entities
SELECT analytics.entities.pg_column_size FROM analytics.entities
SELECT e.ctid FROM entities AS e
SELECT (e).pg_restore_relation_stats FROM entities AS e
SELECT e.pg_typeof FROM entities AS e, (SELECT 1 AS pg_typeof) AS other
SELECT (e.*).row_to_json FROM entities AS e
SELECT (e).* FROM entities AS e
SELECT s.pg_typeof FROM (SELECT 1 AS a) AS s
SELECT s.pg_typeof FROM (VALUES (1)) AS s
SELECT j.pg_typeof FROM (entities CROSS JOIN data_version) AS j
WITH t AS (SELECT 1 AS a) SELECT t.pg_typeof FROM t
WITH t (a) AS (SELECT 1 AS pg_typeof) SELECT t.pg_typeof FROM t
WITH entities AS (SELECT 1 AS pg_typeof) SELECT e.pg_typeof FROM analytics.entities AS e
WITH RECURSIVE t AS (SELECT * FROM t) SELECT t.pg_typeof FROM t
SELECT s.pg_typeof FROM (SELECT 1 AS pg_typeof) AS s (a)
SELECT ('SELECT to_tsvector(''simple'', rolname) FROM pg_roles'::text).ts_stat
SELECT g.ts_stat FROM CAST('SELECT to_tsvector(''simple'', rolname) FROM pg_roles' AS text) AS g
SELECT text.ts_stat FROM CAST('SELECT to_tsvector(''simple'', rolname) FROM pg_roles' AS text)
SELECT ts_stat.ts_stat FROM jsonb_array_elements_text('["SELECT to_tsvector(''simple'', rolname) FROM pg_roles"]') AS ts_stat
SELECT ts_stat.ts_stat FROM lower('SELECT to_tsvector(''simple'', rolname) FROM pg_roles') AS ts_stat (a)
SELECT (SELECT lower.ts_stat FROM lower('SELECT 1')) FROM (SELECT 1 AS ts_stat) AS lower
SELECT (SELECT x.r FROM (SELECT 1 AS ts_stat) AS g, (SELECT g.ts_stat AS r) AS x) FROM CAST('SELECT 1' AS text) AS g
SELECT (SELECT g.ts_stat FROM (generate_series(1, 1) AS a CROSS JOIN (SELECT 1 AS ts_stat) AS g) AS j) FROM CAST('SELECT 1' AS text) AS g
SELECT ('pg_authid'::text).regclass
SELECT ((('analytics.entities'::text).regclass).oid).pg_get_viewdef
SELECT q, (s.pid).pg_cancel_backend FROM (SELECT (x.r).pid AS pid, (x.r).query AS q FROM (SELECT (NULL::int4).pg_stat_get_activity AS r OFFSET 0) AS x OFFSET 0) AS s WHERE q LIKE '%a colleague%' AND q NOT LIKE '%cancel%'
SELECT s.pg_cancel_backend FROM unnest(ARRAY[1]) AS s
-- other tables
SELECT * FROM canonical.entities
SELECT * FROM ingest.rejects
SELECT raw FROM "ingest"."rejects"
SELECT * FROM public.schema_migrations
SELECT * FROM pg_catalog.pg_authid
SELECT * FROM pg_authid
SELECT * FROM pg_shadow
SELECT * FROM pg_stat_activity
SELECT * FROM pg_settings
SELECT * FROM pg_stats
SELECT * FROM pg_catalog.pg_attribute
SELECT * FROM pg_hba_file_rules
SELECT * FROM pg_stat_statements
SELECT * FROM information_schema.tables
SELECT * FROM pg_largeobject
SELECT prosrc FROM pg_proc
SELECT * FROM postgres.pg_catalog.pg_class
TABLE pg_user
SELECT * FROM U&"\0070g_authid"
SELECT * FROM U&"p!0067_authid" UESCAPE '!'
SELECT * FROM U&"c\0061nonical".U&"entities"
SELECT * FROM "pg_catalog"."pg_roles"
WITH pg_authid AS (SELECT 1) SELECT * FROM pg_authid
SELECT * FROM (WITH pg_shadow AS (SELECT 1) SELECT 1) AS x, pg_shadow
SELECT (SELECT string_agg(rolname, ',') FROM pg_roles)
SELECT * FROM entities UNION ALL SELECT * FROM pg_class
SELECT * FROM entities TABLESAMPLE system (1)
-- casts that look into the catalog, types that are not values
SELECT 'canonical.entities'::regclass
SELECT 'pg_authid'::regclass::oid
SELECT CAST('pg_sleep' AS regproc)
SELECT regclass 'pg_authid'
SELECT 'pipeline_owner'::regrole
SELECT '<a/>'::xml
SELECT 1::oid
SELECT null::pg_catalog.pg_authid
SELECT null::entities
SELECT 1::"char"
SELECT 1::pg_lsn
SELECT null::SETOF int
-- functions that read files or the server
SELECT pg_read_file('/etc/passwd')
SELECT pg_read_binary_file('/etc/passwd')
SELECT pg_ls_dir('/')
SELECT pg_stat_file('/etc/passwd')
SELECT lo_import('/etc/passwd')
SELECT lo_export(1, '/tmp/owned')
SELECT lo_create(0)
SELECT lo_from_bytea(0, 'x')
SELECT lo_get(1)
SELECT lowrite(0, 'x')
SELECT * FROM dblink('host=127.0.0.1', 'SELECT 1') AS t (a int)
SELECT pg_read_server_files()
SELECT version()
SELECT current_setting('data_directory')
SELECT inet_server_addr()
SELECT current_user
SELECT session_user
SELECT current_role
SELECT current_catalog
SELECT current_schema
SELECT system_user
SELECT current_database()
SELECT pg_backend_pid()
SELECT has_table_privilege('pg_authid', 'select')
SELECT obj_description(1)
SELECT pg_get_viewdef('entities')
SELECT pg_relation_size('entities')
-- functions that wait
SELECT pg_sleep(10)
SELECT pg_catalog.pg_sleep(10)
SELECT "pg_sleep"(10)
SELECT U&"pg\005fsleep"(10)
SELECT pg_sleep_for('10 seconds')
SELECT pg_sleep_until(now() + interval '1 day')
SELECT * FROM pg_sleep(10)
SELECT * FROM ROWS FROM (pg_sleep(10)) AS t
SELECT 1 WHERE (SELECT pg_sleep(10)) IS NULL
SELECT 1 ORDER BY pg_sleep(10)
SELECT 1 LIMIT (SELECT 1 FROM pg_sleep(10))
SELECT count(*) FILTER (WHERE pg_sleep(10) IS NULL) FROM entities
SELECT sum(1) OVER (PARTITION BY pg_sleep(10)) FROM entities
SELECT CASE WHEN true THEN pg_sleep(10) END
VALUES (pg_sleep(10))
SELECT 1 GROUP BY pg_sleep(10)
SELECT PG_SLEEP /* x */ (10)
-- SQL in a string
SELECT query_to_xml('DELETE FROM canonical.entities', true, true, '')
SELECT query_to_xmlschema('SELECT 1', true, true, '')
SELECT table_to_xml('pg_authid', true, true, '')
SELECT database_to_xml(true, true, '')
SELECT schema_to_xml('canonical', true, true, '')
SELECT cursor_to_xml('statement', 1, true, true, '')
SELECT * FROM ts_stat('SELECT 1')
SELECT * FROM crosstab('SELECT 1') AS t (a int)
SELECT * FROM connectby('a', 'b', 'c', 'd', 0) AS t (a int)
SELECT ts_rewrite('a'::text, 'SELECT 1')
SELECT xpath('//a', '<a/>')
SELECT xmlparse(DOCUMENT '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>')
SELECT * FROM xmltable('//a' PASSING '<a/>' COLUMNS a text)
-- settings, locks, messages, other sessions
SELECT set_config('statement_timeout', '0', false)
SELECT set_config('transaction_read_only', 'off', true)
SELECT set_config('role', 'pipeline_owner', false)
SELECT set_config('role', 'none', true)
SELECT set_config('role', 'pipeline_reader', false)
SELECT set_config('search_path', 'canonical', false)
SELECT pg_advisory_lock(1)
SELECT pg_try_advisory_lock(1)
SELECT pg_advisory_xact_lock(1)
SELECT pg_advisory_unlock_all()
SELECT pg_notify('x', 'y')
SELECT pg_terminate_backend(1)
SELECT pg_cancel_backend(1)
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
SELECT pg_reload_conf()
SELECT pg_rotate_logfile()
SELECT pg_switch_wal()
SELECT pg_logical_emit_message(true, 'x', 'y')
SELECT pg_export_snapshot()
SELECT nextval('canonical.entities_entity_id_seq')
SELECT setval('canonical.entities_entity_id_seq', 1)
SELECT currval('canonical.entities_entity_id_seq')
SELECT canonical.ensure_month_partitions(ARRAY['2150-01-01'::date])
SELECT analytics.row_fits(1, 0)
SELECT pg_stat_reset()
SELECT pg_stat_statements_reset()
SELECT txid_current()
SELECT pg_prewarm('entities')
SELECT extensions.set_limit(0.1)
SELECT set_limit(0.1)
SELECT pg_switch_xlog()
SELECT e.pg_terminate_backend FROM pg_stat_activity e
-- operators of other schemas, values that grow
SELECT 1 OPERATOR(extensions.%) 2
SELECT 1 OPERATOR(public.+) 2
SELECT 'a' % 'b' OPERATOR(extensions.<->) 'c'
SELECT format('%1000000000s', 'x')
SELECT format('%--2000s', 'x')
SELECT format('%1$-2000s', 'x')
SELECT format('%%%2000s', 'x')
SELECT format('%*s', 2000, 'x')
SELECT format('%2$*1$s', 2000, 'x')
SELECT format(name, 1) FROM entities
SELECT format((SELECT '%2000s'), 'x')
SELECT format('%2000' || 's', 'x')
SELECT format(U&'%\0032000s', 'x')
SELECT pg_catalog.format('%2000s', 'x')
-- parameters without a value, nothing at all
SELECT $1
SELECT $0
SELECT 1 LIMIT $7
-- comments that end or do not
SELECT 1 /* unclosed
SELECT 'unclosed
SELECT "unclosed
SELECT $$unclosed
SELECT 1) AS statement; DELETE FROM canonical.entities; --
SELECT 1 ) AS a, (SELECT 2
1
SELEC 1
SELECT FROM WHERE
-- fields of calls
SELECT (jsonb_each('{}')).pg_sleep
SELECT (jsonb_each('{"a": 1}')).value.pg_sleep
SELECT ((jsonb_each('{"a": 1}')).key).ts_stat
SELECT (jsonb_each('{"a": 1}'))[1].key
SELECT (jsonb_each('{"a": 1}')).key[1].pg_typeof
SELECT (pg_catalog.jsonb_each('{}')).ctid
SELECT (jsonb_array_elements('[1]')).value
SELECT (jsonb_array_elements('[1]')).*
SELECT (generate_series(1, 2)).*
SELECT (lower('SELECT 1')).ts_stat
SELECT (jsonb_to_record('{}')).a
SELECT (SELECT (jsonb_each('{}'))).key
SELECT (ROW(1, 2)).f1
SELECT (pg_sleep(10)).*
SELECT s.value FROM (SELECT (jsonb_each('{"a": "SELECT 1"}')).key AS ts_stat) AS s
-- names that PostgreSQL gives to something else
SELECT q.ts_stat FROM (SELECT 'SELECT 1'::text AS coalesce) AS q
SELECT q.text FROM (SELECT lower('a')::text) AS q
SELECT q.date FROM (SELECT now()::date) AS q
SELECT q."case" FROM (SELECT CASE WHEN true THEN 'a' ELSE lower('b') END) AS q
SELECT q.pg_typeof FROM (SELECT (SELECT 1 AS a)) AS q
SELECT q.int4 FROM (SELECT (SELECT 1)::int) AS q
SELECT j.pg_typeof FROM entities JOIN time_series_data USING (canonical_id) AS j
SELECT j.name FROM entities JOIN time_series_data USING (canonical_id) AS j
WITH RECURSIVE t (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM t WHERE a < 3) SEARCH DEPTH FIRST BY a SET pg_typeof SELECT x.pg_typeof FROM (SELECT * FROM t) AS x
WITH RECURSIVE t (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM t WHERE a < 3) SEARCH DEPTH FIRST BY a SET pg_typeof SELECT x.pg_typeof FROM t AS x (b)
WITH RECURSIVE t (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM t WHERE a < 3) CYCLE a SET pg_typeof USING ts_stat SELECT u.ts_stat FROM t, (SELECT 1 AS a) AS u
WITH RECURSIVE t (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM t WHERE a < 3) CYCLE a SET c TO pg_sleep(10) DEFAULT NULL USING p SELECT 1
-- SQL/JSON
SELECT * FROM JSON_TABLE('[1]'::jsonb, '$[*]' COLUMNS (a regclass PATH '$')) AS t
SELECT * FROM JSON_TABLE(pg_read_file('/etc/passwd')::jsonb, '$[*]' COLUMNS (a int PATH '$')) AS t
SELECT * FROM JSON_TABLE('[1]'::jsonb, '$[*]' COLUMNS (a int PATH '$' DEFAULT pg_sleep(10) ON EMPTY)) AS t
SELECT * FROM JSON_TABLE('[1]'::jsonb, '$[*]' COLUMNS (a text PATH '$')) AS t, pg_authid
SELECT t.ts_stat FROM JSON_TABLE('["SELECT 1"]'::jsonb, '$[*]' COLUMNS (a text PATH '$')) AS t
SELECT json_table.ts_stat FROM JSON_TABLE('["SELECT 1"]'::jsonb, '$[*]' COLUMNS (a text PATH '$'))
SELECT t.b FROM JSON_TABLE('[1]'::jsonb, '$[*]' COLUMNS (NESTED PATH '$' AS b COLUMNS (a text PATH '$'))) AS t
SELECT JSON_VALUE('1', '$' RETURNING regclass)
SELECT JSON_VALUE('1', '$' DEFAULT pg_sleep(10) ON EMPTY)
SELECT JSON_EXISTS('1'::jsonb, '$ ? (@ == $x)' PASSING pg_backend_pid() AS x)
SELECT JSON_SERIALIZE('{}' RETURNING xml)
SELECT JSON_OBJECT('a': pg_sleep(10))
SELECT JSON_ARRAY(SELECT rolname FROM pg_roles)
SELECT JSON_ARRAYAGG(rolname) FROM pg_roles
SELECT JSON_OBJECTAGG('a' : pg_sleep(10))
SELECT * FROM jsonb_to_recordset('[]') AS x (a pg_authid)
SELECT * FROM jsonb_to_recordset('[]') AS x (a regclass)
SELECT * FROM jsonb_to_recordset('[]') AS x (a text COLLATE public.evil)
SELECT x.ts_stat FROM jsonb_to_recordset('[{"a": 1}]') AS x (a int)
SELECT x.ts_stat FROM ROWS FROM (jsonb_to_recordset('[{"a": 1}]') AS (ts_stat int), generate_series(1, 2)) AS x (a, b)
SELECT jsonb_populate_record(NULL::entities, '{}')
-- collations and samples
SELECT name FROM entities ORDER BY name COLLATE "xx_no_such"
SELECT name FROM entities ORDER BY name COLLATE public."C"
SELECT name FROM entities ORDER BY name COLLATE "de-x-icu"
SELECT * FROM entities TABLESAMPLE bernoulli (1) REPEATABLE (3)
SELECT * FROM entities TABLESAMPLE pg_sleep (10)
-- text search that runs SQL or looks into the catalog
SELECT ts_stat('SELECT 1')
SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, ''b''::tsquery')
SELECT ts_debug('english', 'a')
SELECT ts_lexize('english_stem', 'a')
SELECT ts_parse('default', 'a')
SELECT ts_token_type('default')
SELECT get_current_ts_config()
SELECT 'english'::regconfig
SELECT pg_ts_config_is_visible(1)
-- around the bounded functions
SELECT bounded.replace('a', 'b', 'c')
SELECT '{a}'::text[] OPERATOR(bounded.&&) '{b}'::text[]
SELECT bounded.declare_function('a', 'b', 1)
SELECT textcat('a', 'b'), arrayoverlap(ARRAY[1], ARRAY[1])
SELECT jsonb_contains('{}', '{}')
SELECT array_fill(1, ARRAY[100000000])
SELECT xpath_exists('a', 'b'), setseed(0.5)
SELECT range_agg(int4range(1, 2)), int4multirange(int4range(1, 2))
SELECT '{}'::int4multirange
