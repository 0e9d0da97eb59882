-- The temporary table of a loader's connection for what the objects of snapshots say. It is emptied with each commit.
CREATE TEMPORARY TABLE IF NOT EXISTS {said} (
    {id} bigint NOT NULL,
    object_id bigint NOT NULL,
    source_updated_at timestamptz NOT NULL,
    ordinal integer NOT NULL,
    deleted boolean NOT NULL
) ON COMMIT DELETE ROWS;
