-- migrate:up

-- Functions and operators for analysts' queries, in place of those of PostgreSQL with the same name and arguments. PostgreSQL cannot
-- stop its own while they run, or they make a gigabyte at once. Ours compare the sizes with a limit first, and then call the original.
-- The limits let one call end within about a second.
--
-- The search path of an analyst's query has this schema in front of pg_catalog (sql/analytics/limits.sql). The guard writes calls in
-- SQL's own syntax as calls of this schema. The names are listed in pipeline_project/analytics/allowed.py.
CREATE SCHEMA bounded;
GRANT USAGE ON SCHEMA bounded TO pipeline_reader;

-- `size` is an expression of the arguments $1, $2, … A size that is NULL is not compared.
CREATE PROCEDURE bounded.declare_function(original regprocedure, size text, most bigint) LANGUAGE plpgsql AS $procedure$
DECLARE
    p pg_catalog.pg_proc;
    given text;
BEGIN
    SELECT * INTO STRICT p FROM pg_catalog.pg_proc WHERE oid = original;
    SELECT string_agg(CASE WHEN p.provariadic <> 0 AND n = p.pronargs THEN 'VARIADIC ' ELSE '' END || '$' || n, ', ' ORDER BY n)
    INTO given FROM generate_series(1, p.pronargs) AS n;
    EXECUTE format(
        'CREATE FUNCTION bounded.%I(%s) RETURNS %s LANGUAGE plpgsql PARALLEL SAFE %s AS $body$
         BEGIN
             IF (%s) > %s THEN
                 RAISE EXCEPTION ''arguments too large'' USING ERRCODE = ''54B01'';
             END IF;
             %s %s.%I(%s);
             %s
         END $body$',
        p.proname, pg_get_function_arguments(original), pg_get_function_result(original),
        CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
        size, most,
        CASE WHEN p.proretset THEN 'RETURN QUERY SELECT' ELSE 'RETURN' END, p.pronamespace::regnamespace, p.proname, given,
        CASE WHEN p.proretset THEN 'RETURN;' ELSE '' END);
END
$procedure$;

CREATE PROCEDURE bounded.declare_operator(original regoperator, size text, most bigint) LANGUAGE plpgsql AS $procedure$
DECLARE
    o pg_catalog.pg_operator;
BEGIN
    SELECT * INTO STRICT o FROM pg_catalog.pg_operator WHERE oid = original;
    CALL bounded.declare_function(o.oprcode::regprocedure, size, most);
    EXECUTE format(
        'CREATE OPERATOR bounded.%s (%s RIGHTARG = %s, FUNCTION = bounded.%I)',
        o.oprname, CASE WHEN o.oprleft <> 0 THEN 'LEFTARG = ' || o.oprleft::regtype || ',' END, o.oprright::regtype,
        (SELECT proname FROM pg_catalog.pg_proc WHERE oid = o.oprcode));
END
$procedure$;

DO $migration$
DECLARE
    -- Each character or part that is looked for is compared with all of the other text.
    compared CONSTANT text := 'octet_length($1)::bigint * octet_length($2)';
    -- Each element of one side is compared with each of the other. A text of JSON has at least two bytes for an element. Its size is
    -- looked at only where the other side is large, since that takes time.
    nested CONSTANT text := 'CASE WHEN pg_column_size($%s) > 200 THEN octet_length($1::text)::bigint * octet_length($2::text) END';
    listed CONSTANT text := 'CASE WHEN cardinality($2) > 100 THEN octet_length($1::text)::bigint * cardinality($2) END';
    paired CONSTANT text := 'cardinality($1)::bigint * cardinality($2)';
    -- Marks are sorted one by one. A text of ASCII has none.
    marked CONSTANT text := 'CASE WHEN octet_length($1) > char_length($1) THEN char_length($1) END';
    original text;
BEGIN
    CALL bounded.declare_function('pg_catalog.translate(text, text, text)', compared, 100000000);
    FOREACH original IN ARRAY ARRAY['btrim', 'ltrim', 'rtrim'] LOOP
        CALL bounded.declare_function(format('pg_catalog.%s(text, text)', original)::regprocedure, compared, 100000000);
        CALL bounded.declare_function(format('pg_catalog.%s(bytea, bytea)', original)::regprocedure, compared, 100000000);
    END LOOP;
    FOREACH original IN ARRAY ARRAY[
        'strpos(text, text)', 'position(text, text)', 'position(bytea, bytea)', 'position(bit, bit)', 'split_part(text, text, integer)',
        'string_to_array(text, text)', 'string_to_array(text, text, text)', 'string_to_table(text, text)',
        'string_to_table(text, text, text)'] LOOP
        CALL bounded.declare_function(format('pg_catalog.%s', original)::regprocedure, compared, 500000000);
    END LOOP;
    CALL bounded.declare_function('pg_catalog.normalize(text, text)', marked, 5000);
    CALL bounded.declare_function('pg_catalog.is_normalized(text, text)', marked, 5000);

    -- A query of many words is taken apart word by word, and its ranking looks at each of them again for each word of the text.
    FOREACH original IN ARRAY ARRAY['to_tsquery', 'plainto_tsquery', 'phraseto_tsquery', 'websearch_to_tsquery'] LOOP
        CALL bounded.declare_function(format('pg_catalog.%s(text)', original)::regprocedure, 'octet_length($1)', 10000);
        CALL bounded.declare_function(format('pg_catalog.%s(regconfig, text)', original)::regprocedure, 'octet_length($2)', 10000);
    END LOOP;
    CALL bounded.declare_operator('pg_catalog.@@(text, text)', 'octet_length($2)', 10000);
    FOREACH original IN ARRAY ARRAY['ts_rank_cd(tsvector, tsquery)', 'ts_rank_cd(tsvector, tsquery, integer)'] LOOP
        CALL bounded.declare_function(format('pg_catalog.%s', original)::regprocedure, 'numnode($2)', 1000);
    END LOOP;
    FOREACH original IN ARRAY ARRAY['ts_rank_cd(real[], tsvector, tsquery)', 'ts_rank_cd(real[], tsvector, tsquery, integer)'] LOOP
        CALL bounded.declare_function(format('pg_catalog.%s', original)::regprocedure, 'numnode($3)', 1000);
    END LOOP;

    -- Results of many times the size of the arguments. A part is compared in steps of at least 16 bytes.
    CALL bounded.declare_function('pg_catalog.repeat(text, integer)', 'octet_length($1)::bigint * $2', 1000000);
    CALL bounded.declare_function('pg_catalog.lpad(text, integer)', '$2', 1000000);
    CALL bounded.declare_function('pg_catalog.rpad(text, integer)', '$2', 1000000);
    FOREACH original IN ARRAY ARRAY['lpad', 'rpad'] LOOP
        CALL bounded.declare_function(
            format('pg_catalog.%s(text, integer, text)', original)::regprocedure,
            '$2::bigint * CASE WHEN octet_length($3) > char_length($3) THEN 4 ELSE 1 END', 1000000);
    END LOOP;
    CALL bounded.declare_function(
        'pg_catalog.replace(text, text, text)',
        'octet_length($1)::bigint * greatest(octet_length($2) / 16, octet_length($3) / greatest(octet_length($2), 1))', 32000000);
    FOREACH original IN ARRAY ARRAY[
        'text, text, text', 'text, text, text, text', 'text, text, text, integer', 'text, text, text, integer, integer',
        'text, text, text, integer, integer, text'] LOOP
        CALL bounded.declare_function(
            format('pg_catalog.regexp_replace(%s)', original)::regprocedure,
            '(octet_length($1) + 1)::bigint * octet_length($3)', 32000000);
    END LOOP;
    CALL bounded.declare_function(
        'pg_catalog.array_to_string(anyarray, text)', 'cardinality($1)::bigint * octet_length($2)', 16000000);
    CALL bounded.declare_function(
        'pg_catalog.array_to_string(anyarray, text, text)',
        'cardinality($1)::bigint * (octet_length($2) + coalesce(octet_length($3), 0))', 16000000);

    FOREACH original IN ARRAY ARRAY['@>', '<@', '&&'] LOOP
        CALL bounded.declare_operator(format('pg_catalog.%s(anyarray, anyarray)', original)::regoperator, paired, 10000000);
    END LOOP;
    CALL bounded.declare_operator('pg_catalog.@>(jsonb, jsonb)', format(nested, 2), 200000000);
    CALL bounded.declare_operator('pg_catalog.<@(jsonb, jsonb)', format(nested, 1), 200000000);
    FOREACH original IN ARRAY ARRAY['?|', '?&', '-'] LOOP
        CALL bounded.declare_operator(format('pg_catalog.%s(jsonb, text[])', original)::regoperator, listed, 100000000);
    END LOOP;
END
$migration$;

DROP PROCEDURE bounded.declare_operator;
DROP PROCEDURE bounded.declare_function;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA bounded TO pipeline_reader;

-- migrate:down
