-- The staging table of a loader's connection for a dataset without history. Each commit empties it.
CREATE TEMPORARY TABLE IF NOT EXISTS {incoming} (
    late boolean NOT NULL DEFAULT false,    -- another row of the same batch is newer
    {key columns},
    source text NOT NULL,
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    ordinal integer NOT NULL,
    content_hash uuid NOT NULL,
    {state columns}
) ON COMMIT DELETE ROWS;
