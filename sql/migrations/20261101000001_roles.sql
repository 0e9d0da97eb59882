-- migrate:up

-- The database's owner (pipeline_owner, who runs this) is made by the bootstrap, before any migration can run.
-- Roles belong to the server and not to the database: a second database on it finds them there.
-- Passwords are not set here; the bootstrap sets them, and rotation sets them again.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pipeline_loader') THEN
        CREATE ROLE pipeline_loader LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pipeline_reader') THEN
        CREATE ROLE pipeline_reader LOGIN;
    END IF;
END
$$;

-- What everybody may do by default is nothing.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO pipeline_loader, pipeline_reader', current_database());
    -- The loader stages each batch in temporary tables; the reader has no need of any.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO pipeline_loader', current_database());
END
$$;

CREATE SCHEMA ingest;
CREATE SCHEMA canonical;
CREATE SCHEMA analytics;
GRANT USAGE ON SCHEMA ingest, canonical TO pipeline_loader;
GRANT USAGE ON SCHEMA analytics TO pipeline_reader, pipeline_loader;

ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA analytics GRANT SELECT ON TABLES TO pipeline_reader, pipeline_loader;

-- A second lock on the door: the reader's sessions start read-only and bounded.
ALTER ROLE pipeline_reader SET default_transaction_read_only = on;
ALTER ROLE pipeline_reader SET statement_timeout = '30s';
ALTER ROLE pipeline_reader SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE pipeline_reader SET search_path = analytics;

-- migrate:down
