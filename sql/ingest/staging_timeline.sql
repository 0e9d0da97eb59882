-- The temporary table of a loader's connection for late rows of entities. It is emptied with each commit.
CREATE TEMPORARY TABLE IF NOT EXISTS timeline (
    entity_id bigint NOT NULL,
    begins boolean NOT NULL,                -- a state, rather than the confirmation of one
    version integer NOT NULL,
    valid_to timestamptz,                   -- null: the current state
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    ordinal integer NOT NULL,
    content_hash uuid NOT NULL,
    -- the state, if one begins
    entity_type text,
    deleted boolean,
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
    attributes jsonb,
    quality_score real,
    mapping_version integer NOT NULL,
    record_digest uuid
) ON COMMIT DELETE ROWS;
