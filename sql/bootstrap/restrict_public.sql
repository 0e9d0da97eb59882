-- What only a superuser can take away, in the target database. A managed server's administrator is none and leaves it as it is:
-- there temp_file_limit belongs into the parameter group, and the guard stands before the functions.
DO $$
DECLARE
    callable regprocedure;
BEGIN
    FOR callable IN
        SELECT oid FROM pg_catalog.pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
          AND (proname ~ '^pg_(try_)?advisory_'
               OR proname IN ('pg_terminate_backend', 'lo_creat', 'lo_create', 'lo_from_bytea'))
    LOOP
        -- A role may end sessions of its own, so that one person's query could end everybody's (cancelling stays: jobs are
        -- cancelled so); advisory locks could hold up the loader; large objects need no right to any schema.
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', callable);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO pipeline_owner, pipeline_loader', callable);
    END LOOP;
    ALTER ROLE pipeline_reader SET temp_file_limit = '4GB';
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'left as it is: %', SQLERRM;
END
$$
