-- Creates the staging table for a dataset without history. Each commit deletes its rows.
CREATE TEMPORARY TABLE IF NOT EXISTS {incoming} (
    late boolean NOT NULL DEFAULT false,    -- another row of the micro-batch is newer
    {key columns},
    source text NOT NULL,
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    ordinal integer NOT NULL,
    content_hash uuid NOT NULL,
    {state columns}
) ON COMMIT DELETE ROWS;
