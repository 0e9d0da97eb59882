-- The temporary table of a loader's connection for late rows of entities. It is emptied with each commit.
CREATE TEMPORARY TABLE IF NOT EXISTS {timeline} (
    {id} bigint NOT NULL,
    begins boolean NOT NULL,                -- a state, rather than the confirmation of one
    origin smallint NOT NULL,               -- what it was before: 0 a late row, 1 a state, 2 a confirmation
    content_of integer,                     -- which version says it now; null: the current state, or the late row itself
    is_stored boolean NOT NULL,             -- the state is already stored under this version and until valid_to
    version integer NOT NULL,
    valid_to timestamptz,                   -- null: the current state
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    ordinal integer NOT NULL,
    mapping_version integer NOT NULL,
    content_hash uuid NOT NULL
) ON COMMIT DELETE ROWS;
