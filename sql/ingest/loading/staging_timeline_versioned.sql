-- Creates the temporary table for the timelines of entities with late rows. Each commit deletes its rows.
CREATE TEMPORARY TABLE IF NOT EXISTS {timeline} (
    {id} bigint NOT NULL,
    begins boolean NOT NULL,                -- the row begins a version; otherwise it confirms one
    origin smallint NOT NULL,               -- 0 a late row, 1 a version, 2 a confirmation
    content_of integer,                     -- the version that has the content; null: the current version, or the late row
    is_stored boolean NOT NULL,             -- the version is already stored with this number and this valid_to
    version integer NOT NULL,
    valid_to timestamptz,                   -- null: the current version
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    ordinal integer NOT NULL,
    mapping_version integer NOT NULL,
    content_hash uuid NOT NULL
) ON COMMIT DELETE ROWS;
