-- migrate:up

-- Writes: the role that executes queries of people, and its rights. Requires: pipeline_reader (20261101000001).
-- pipeline_reader logs in and becomes this role for one transaction (sql/analytics/limits.sql). The role cannot log in, owns nothing,
-- is a member of nothing, and so can neither change a password nor cancel the queries of pipeline_reader.
-- Roles belong to the server and not to the database: a second database on the server finds the role there.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pipeline_analyst') THEN
        CREATE ROLE pipeline_analyst NOLOGIN NOINHERIT;
    END IF;
END
$$;
GRANT pipeline_analyst TO pipeline_reader WITH INHERIT FALSE, SET TRUE;

-- The same schemas that the reader may use. Functions of extensions belong to a superuser, who lets everybody call them.
DO $$
DECLARE
    schema regnamespace;
BEGIN
    FOR schema IN
        SELECT oid FROM pg_namespace
        WHERE nspowner = current_user::regrole AND has_schema_privilege('pipeline_reader', oid, 'USAGE')
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %s TO pipeline_analyst', schema);
        IF schema <> 'extensions'::regnamespace THEN
            EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA %s TO pipeline_analyst', schema);
            -- Later views and functions need no grant of their own.
            EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT EXECUTE ON FUNCTIONS TO pipeline_analyst', schema);
        END IF;
    END LOOP;
END
$$;
GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO pipeline_analyst;
ALTER DEFAULT PRIVILEGES IN SCHEMA analytics GRANT SELECT ON TABLES TO pipeline_analyst;

-- migrate:down
