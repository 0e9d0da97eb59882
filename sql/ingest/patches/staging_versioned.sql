-- Makes the temporary tables of a partial source. Each commit empties them.
-- JSON holds times as texts, so their zone must be the same in each session.
SET LOCAL timezone TO 'UTC';

-- The records of a micro-batch as patches. A column that a record did not send is null, or has its fallback value.
CREATE TEMPORARY TABLE IF NOT EXISTS {sent} (
    canonical_id text NOT NULL,
    source text NOT NULL,
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    ordinal integer NOT NULL,
    content_hash uuid NOT NULL,             -- not used: the content of a version depends on earlier patches, too
    {nullable columns},
    quality_score real NOT NULL,            -- not used, for the same reason
    mapping_version integer NOT NULL,
    record_digest uuid NOT NULL,
    unsent text[] NOT NULL,                 -- the columns that the record did not send
    base jsonb,                             -- the fallback values of these columns; null if there are none
    cleared jsonb NOT NULL                  -- attributes that the record sent as null, each with a JSON null
) ON COMMIT DELETE ROWS;

-- The patches of the micro-batch that were not stored yet, and the position of the patch that each one replaces.
CREATE TEMPORARY TABLE IF NOT EXISTS {touched} (
    canonical_id text NOT NULL,
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    ordinal integer NOT NULL,
    replaced_updated_at timestamptz         -- null: the patch replaces none
) ON COMMIT DELETE ROWS;
