-- Takes from PUBLIC what only a superuser can take away, in the target database. Reads the catalogs. Writes privileges.
-- Requires: the migrations. A repetition finds nothing left to do.
-- An administrator who is no superuser (the master user of RDS) leaves everything as it is; docs/custom-sql.md says what
-- still holds then.
DO $$
DECLARE
    -- Volatile functions that touch nothing outside of the query.
    harmless CONSTANT text[] := '{array_sample,array_shuffle,clock_timestamp,gen_random_uuid,random,random_normal,timeofday,uuidv4,uuidv7}';
    -- Functions that change, lock or signal something outside of the session, or run SQL from a text. The reader needs none.
    -- (pg_cancel_backend is not among them: jobs are cancelled with it.)
    dangerous CONSTANT text := '^(pg_(try_)?advisory_|pg_(terminate_backend|notify|export_snapshot|nextoid|logical_|import_|restore_'
        '|clear_|replication_|create_|drop_|copy_|extension_config|stop_making)|binary_upgrade|brin_|gin_clean|lo_|loread|lowrite'
        '|(next|set|last)val$|ts_stat|ts_rewrite|set_limit)|_to_xml';
    callable record;
    relation regclass;
BEGIN
    IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        RAISE NOTICE 'left as it is: % is no superuser', current_user;
        RETURN;
    END IF;
    FOR callable IN
        SELECT p.oid::regprocedure AS name, p.proname ~ dangerous AS is_dangerous
        FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_type AS t ON t.oid = p.prorettype
        WHERE p.pronamespace IN ('pg_catalog'::regnamespace, 'extensions'::regnamespace)
          AND p.provolatile = 'v' AND p.prokind = 'f' AND p.proname <> ALL (harmless)
          -- What gives a pseudotype is a handler that no query can call, but for these.
          AND (t.typtype <> 'p' OR t.typname IN ('void', 'record'))
          AND has_function_privilege('public', p.oid, 'EXECUTE')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', callable.name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO pipeline_owner, pipeline_loader', callable.name);
        IF NOT callable.is_dangerous THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO pipeline_reader', callable.name);
        END IF;
    END LOOP;
    FOR relation IN
        SELECT oid FROM pg_catalog.pg_class
        WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v') AND has_table_privilege('public', oid, 'SELECT')
          -- psycopg looks there before it closes a cursor. The view shows the session's own cursors only.
          AND relname <> 'pg_cursors'
    LOOP
        -- The logins keep them, since psql and other tools read them. The role of people's queries has none.
        EXECUTE format('REVOKE SELECT ON %s FROM PUBLIC', relation);
        EXECUTE format('GRANT SELECT ON %s TO pipeline_owner, pipeline_loader, pipeline_reader', relation);
    END LOOP;
    REVOKE USAGE ON SCHEMA information_schema FROM PUBLIC;
    GRANT USAGE ON SCHEMA information_schema TO pipeline_owner, pipeline_loader, pipeline_reader;
    REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
    GRANT USAGE ON LANGUAGE plpgsql TO pipeline_owner, pipeline_loader;
    -- In another database the functions and catalogs would still be open.
    REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC;
    ALTER ROLE pipeline_reader SET temp_file_limit = '4GB';
END
$$
