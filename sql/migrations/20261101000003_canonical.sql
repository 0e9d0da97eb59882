-- migrate:up

-- Position of a row, wherever the three columns appear: (source_updated_at, object_modified_at, object_id). It depends
-- on nothing but the row and its object, so every order of arrival compares alike. The greatest position wins.
--
-- Foreign keys between these tables would cost a look-up a row while loading; the loader writes them together in one
-- statement, and the asset checks watch the result.

-- An entity's current state. Columns of one width that are never null come first: PostgreSQL finds them without going
-- through the others, which looking for known records spares a twentieth. (Databases made before have another order.)
CREATE TABLE canonical.entities (
    entity_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- where it comes from
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ordinal integer NOT NULL,
    mapping_version integer NOT NULL,
    -- first 128 bits of SHA-256 of the record's bytes and mapping version: equal digests need no mapping
    record_digest uuid NOT NULL,
    content_hash uuid NOT NULL,             -- likewise of the state: equal hashes are the same state
    version integer NOT NULL,
    quality_score real NOT NULL,
    deleted boolean NOT NULL,               -- a tombstone: remembered, so that a stale row cannot bring it back
    canonical_id text NOT NULL,             -- '<source>_<source id>'
    source text NOT NULL,
    source_id text GENERATED ALWAYS AS (substr(canonical_id, length(source) + 2)) VIRTUAL,
    -- the state, with `deleted`; column for column as in entity_versions
    entity_type text NOT NULL,
    name text,
    status text,
    industry text,
    region text,
    country text,
    customer_tier text,
    revenue numeric,
    employees bigint,
    lifetime_value numeric,
    total_spent numeric,
    total_orders bigint,
    attributes jsonb NOT NULL,              -- everything else the source sent, under canonical or its own names
    CHECK (deleted OR name IS NOT NULL)
);
CREATE UNIQUE INDEX entities_canonical_id ON canonical.entities (canonical_id);

-- The states before the current one. Valid from its own source_updated_at until valid_to.
CREATE TABLE canonical.entity_versions (
    entity_id bigint NOT NULL,
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    valid_to timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    ordinal integer NOT NULL,
    mapping_version integer NOT NULL,
    record_digest uuid NOT NULL,
    content_hash uuid NOT NULL,
    version integer NOT NULL,
    quality_score real NOT NULL,
    deleted boolean NOT NULL,
    entity_type text NOT NULL,
    name text,
    status text,
    industry text,
    region text,
    country text,
    customer_tier text,
    revenue numeric,
    employees bigint,
    lifetime_value numeric,
    total_spent numeric,
    total_orders bigint,
    attributes jsonb NOT NULL,
    PRIMARY KEY (entity_id, version)
);

-- Rows that found the state they describe already there: "still so at this position". Without them a late row between
-- two equal states could not be placed, and the order of arrival would show in the result.
CREATE TABLE canonical.entity_confirmations (
    entity_id bigint NOT NULL,
    object_id bigint NOT NULL,              -- an object says one thing about an entity
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    ordinal integer NOT NULL,
    PRIMARY KEY (entity_id, object_id)
);

-- Ends are named by canonical id: a relationship may arrive before its entities and counts once both are there.
CREATE TABLE canonical.entity_relationships (
    parent_canonical_id text NOT NULL,
    child_canonical_id text NOT NULL,
    relationship_type text NOT NULL,
    valid_from date NOT NULL,
    valid_to date,
    source text NOT NULL,
    deleted boolean NOT NULL,
    attributes jsonb NOT NULL,
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    ordinal integer NOT NULL,
    content_hash uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, parent_canonical_id, child_canonical_id, relationship_type, valid_from),
    CHECK (valid_to IS NULL OR valid_to >= valid_from)
);
CREATE INDEX entity_relationships_parent ON canonical.entity_relationships (parent_canonical_id);
CREATE INDEX entity_relationships_child ON canonical.entity_relationships (child_canonical_id);

-- Metrics: a value of one type for one entity on one day. Partitioned by month.
CREATE TABLE canonical.time_series_data (
    canonical_id text NOT NULL,
    metric_type text NOT NULL,
    metric_date date NOT NULL,
    value numeric,                          -- null in a tombstone only
    quality real,
    tags jsonb NOT NULL,
    source text NOT NULL,
    deleted boolean NOT NULL,
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    ordinal integer NOT NULL,
    content_hash uuid NOT NULL,
    PRIMARY KEY (canonical_id, metric_type, metric_date),
    CHECK (deleted OR value IS NOT NULL)
) PARTITION BY RANGE (metric_date);

-- Makes the months that `dates` fall in; says how many were new. Runs as the owner, so that the loader need not be able to create tables.
-- A table is attached and not created as a partition: that would lock out every reader of the parent.
CREATE FUNCTION canonical.ensure_month_partitions(dates date[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    month date;
    partition_name text;
    made integer := 0;
BEGIN
    FOR month IN SELECT DISTINCT date_trunc('month', d)::date FROM unnest(dates) AS d ORDER BY 1 LOOP
        IF month NOT BETWEEN DATE '1900-01-01' AND DATE '2200-12-01' THEN
            RAISE EXCEPTION 'no partition for %: metrics are kept from 1900 to 2200', month;
        END IF;
        partition_name := to_char(month, '"time_series_data_"YYYY_MM');
        IF to_regclass('canonical.' || partition_name) IS NULL THEN
            PERFORM pg_advisory_xact_lock(hashtextextended('canonical.ensure_month_partitions', 0));
            IF to_regclass('canonical.' || partition_name) IS NULL THEN
                EXECUTE format(
                    'CREATE TABLE canonical.%I (LIKE canonical.time_series_data INCLUDING ALL)', partition_name);
                EXECUTE format(
                    'ALTER TABLE canonical.time_series_data ATTACH PARTITION canonical.%I FOR VALUES FROM (%L) TO (%L)',
                    partition_name, month, month + INTERVAL '1 month');
                made := made + 1;
            END IF;
        END IF;
    END LOOP;
    RETURN made;
END
$$;
GRANT EXECUTE ON FUNCTION canonical.ensure_month_partitions(date[]) TO pipeline_loader;

GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA canonical TO pipeline_loader;
-- A late row rewrites the history of its entity.
GRANT DELETE ON canonical.entity_versions, canonical.entity_confirmations TO pipeline_loader;

-- migrate:down
