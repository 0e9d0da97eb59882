-- The temporary table of a loader's connection for relationships. It is emptied with each commit.
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_relationships (
    late boolean NOT NULL DEFAULT false,
    parent_canonical_id text NOT NULL,
    child_canonical_id text NOT NULL,
    relationship_type text NOT NULL,
    valid_from date NOT NULL,
    source text NOT NULL,
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    ordinal integer NOT NULL,
    content_hash uuid NOT NULL,
    valid_to date,
    deleted boolean NOT NULL,
    attributes jsonb NOT NULL
) ON COMMIT DELETE ROWS;
