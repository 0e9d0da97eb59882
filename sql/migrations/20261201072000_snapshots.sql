-- migrate:up

-- Exports that say "this is all there is" (pipeline_project/sources/snapshot.py). A snapshot is one or more objects. Kept for ever.
CREATE TABLE ingest.snapshots (
    -- A hash of (source, dataset, scope, name), below zero: in a position, it takes the place of an object_id.
    snapshot_id bigint PRIMARY KEY CHECK (snapshot_id < 0),
    source text NOT NULL,
    dataset text NOT NULL,
    scope text NOT NULL,                    -- '': the snapshots of the source have no scopes
    name text NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'held', 'closed', 'discarded')),
    as_of timestamptz,                      -- when the exporter read; null: not known yet
    reason text,                            -- why it is open or held
    approved_at timestamptz,                -- a person allowed the deletions
    listed text[],                          -- what its manifest lists
    forgotten boolean NOT NULL DEFAULT false, -- its members are not kept any more, but for those in snapshot_marks
    parts integer NOT NULL DEFAULT 0,
    members bigint NOT NULL DEFAULT 0,
    deletes bigint NOT NULL DEFAULT 0,      -- of its marks, those that delete; for a held one, those that would
    restores bigint NOT NULL DEFAULT 0,     -- of its marks, those that bring back a deleted entity
    opened_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz
);
CREATE INDEX snapshots_of_dataset ON ingest.snapshots (source, dataset);

-- The members of a snapshot: one bit for each row_id, the surrogate key in the table of the dataset. A block has the bits of
-- 8,192 neighbours. No row means that none of the block is a member.
CREATE TABLE ingest.snapshot_members (
    snapshot_id bigint NOT NULL REFERENCES ingest.snapshots,
    block bigint NOT NULL,
    members bit(8192) NOT NULL,
    PRIMARY KEY (snapshot_id, block)
);

CREATE FUNCTION ingest.member_block(row_id bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN row_id / 8192;
CREATE FUNCTION ingest.member(row_id bigint) RETURNS bit
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN set_bit(B'0'::bit(8192), (row_id % 8192)::integer, 1);
CREATE FUNCTION ingest.is_member(members bit, row_id bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN members IS NOT NULL AND get_bit(members, (row_id % 8192)::integer) = 1;
GRANT EXECUTE ON FUNCTION ingest.member_block(bigint), ingest.member(bigint), ingest.is_member(bit, bigint) TO pipeline_loader;

-- What is kept of a forgotten snapshot: the marks that changed a state when its members were forgotten. With scopes also the
-- last mark of a scope that had the entity.
CREATE TABLE ingest.snapshot_marks (
    row_id bigint NOT NULL,
    snapshot_id bigint NOT NULL REFERENCES ingest.snapshots,
    present boolean NOT NULL,
    PRIMARY KEY (row_id, snapshot_id)
);

-- Which snapshot an object belongs to, as a part, a marker or a manifest.
ALTER TABLE ingest.objects ADD COLUMN snapshot_id bigint;
CREATE INDEX objects_of_snapshot ON ingest.objects (snapshot_id) WHERE snapshot_id IS NOT NULL;

-- A rejected record of a snapshot counts as a member, also if its entity is loaded only later.
CREATE INDEX rejects_of_key ON ingest.rejects (record_key) WHERE record_key IS NOT NULL AND status <> 'resolved';

GRANT SELECT, INSERT, UPDATE ON ingest.snapshots, ingest.snapshot_members, ingest.snapshot_marks TO pipeline_loader;
GRANT DELETE ON ingest.snapshot_members, ingest.snapshot_marks TO pipeline_loader;

CREATE VIEW analytics.snapshots AS
    SELECT source, dataset, scope, name, state, as_of, reason, parts, members, deletes, restores, opened_at, settled_at
    FROM ingest.snapshots;

COMMENT ON VIEW analytics.snapshots IS 'Exports that contain everything, and what became of them.';
COMMENT ON COLUMN analytics.snapshots.source IS 'The source system.';
COMMENT ON COLUMN analytics.snapshots.dataset IS 'The dataset of the records.';
COMMENT ON COLUMN analytics.snapshots.scope IS 'What the snapshot is about, for example a country. Empty: everything.';
COMMENT ON COLUMN analytics.snapshots.name IS 'Name of the snapshot, from the keys of its objects.';
COMMENT ON COLUMN analytics.snapshots.state IS 'open, held, closed or discarded.';
COMMENT ON COLUMN analytics.snapshots.as_of IS 'When the exporter read. Null: not known yet.';
COMMENT ON COLUMN analytics.snapshots.reason IS 'Why it is open or held.';
COMMENT ON COLUMN analytics.snapshots.parts IS 'Number of loaded parts.';
COMMENT ON COLUMN analytics.snapshots.members IS 'Number of records that it has.';
COMMENT ON COLUMN analytics.snapshots.deletes IS 'Number of records that it deletes, or would delete if it is held.';
COMMENT ON COLUMN analytics.snapshots.restores IS 'Number of records that it brings back.';
COMMENT ON COLUMN analytics.snapshots.opened_at IS 'When its first part was loaded.';
COMMENT ON COLUMN analytics.snapshots.settled_at IS 'When it was last closed, held or discarded.';

-- migrate:down
