-- migrate:up

-- The reader sees nothing of schema public, where the migration tool keeps its record.
CREATE VIEW analytics.schema_version AS
    SELECT max(version)::text AS schema_version FROM public.schema_migrations;

-- migrate:down
