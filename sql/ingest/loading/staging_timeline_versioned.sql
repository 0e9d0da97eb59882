-- Creates the temporary tables for the timelines of entities with late rows. Each commit deletes their rows.

-- Entities whose dataset has marks of snapshots. Their whole history is read.
CREATE TEMPORARY TABLE IF NOT EXISTS {walked} (
    {id} bigint NOT NULL
) ON COMMIT DELETE ROWS;

CREATE TEMPORARY TABLE IF NOT EXISTS {marks} (
    {id} bigint NOT NULL,
    snapshot_id bigint NOT NULL,
    as_of timestamptz NOT NULL,
    present boolean NOT NULL
) ON COMMIT DELETE ROWS;

CREATE TEMPORARY TABLE IF NOT EXISTS {timeline} (
    {id} bigint NOT NULL,
    begins boolean NOT NULL,                -- the row begins a version; otherwise it confirms one
    origin smallint NOT NULL,               -- 0 a late row, 1 a version, 2 a confirmation, 3 a mark
    content_of integer,                     -- the version that has the content; null: the current version, or a late row
    late_object_id bigint,                  -- the late row that has the content; null: see content_of
    late_ordinal integer,
    absent boolean NOT NULL,                -- a mark that deletes that content
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
