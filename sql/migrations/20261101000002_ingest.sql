-- migrate:up

-- The ledger: one row for each object (a bucket, a key and one content of it) that was ever seen. Kept for ever.
CREATE TABLE ingest.objects (
    -- First 63 bits of a hash of (bucket, key, version): the same object has the same id whoever finds it, and whenever.
    object_id bigint PRIMARY KEY,
    bucket text NOT NULL,
    key text NOT NULL,
    version text NOT NULL,                  -- version id, or the etag where the bucket keeps no versions
    versioned boolean NOT NULL,             -- which of the two
    size bigint NOT NULL,
    sequencer text,                         -- from the event; orders events of one key; a listing does not know it
    last_modified timestamptz,              -- from the object itself; an event does not know it
    discovered_by text NOT NULL CHECK (discovered_by IN ('event', 'listing', 'replay')),
    source text,                            -- null: unroutable
    dataset text,
    state text NOT NULL DEFAULT 'discovered' CHECK (state IN (
        'discovered', 'claimed', 'loaded', 'loaded_with_rejects', 'failed', 'unroutable', 'superseded')),
    attempts integer NOT NULL DEFAULT 0,    -- since it was discovered or last replayed
    replayed boolean NOT NULL DEFAULT false, -- loaded before: its rows may be there
    claimed_by text,
    claim_expires_at timestamptz,
    run_id text,
    format text,
    records bigint NOT NULL DEFAULT 0,
    inserted bigint NOT NULL DEFAULT 0,
    updated bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    stale bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    deleted bigint NOT NULL DEFAULT 0,
    error_code text,
    error_message text,
    error_line bigint,
    error_column bigint,
    discovered_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    CHECK ((state = 'claimed') = (claimed_by IS NOT NULL AND claim_expires_at IS NOT NULL))
);
CREATE UNIQUE INDEX objects_identity ON ingest.objects (bucket, key, version);
CREATE INDEX objects_waiting ON ingest.objects (source, discovered_at) WHERE state IN ('discovered', 'claimed');
CREATE INDEX objects_finished ON ingest.objects (finished_at);

-- Rows that could not be loaded, as they were sent.
CREATE TABLE ingest.rejects (
    reject_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    object_id bigint NOT NULL REFERENCES ingest.objects,
    ordinal integer NOT NULL,               -- place among the object's records, from 1
    line bigint,                            -- line of the file, from 1, where the format has lines
    source text NOT NULL,
    dataset text NOT NULL,
    record_key text,                        -- the key its good form would have, where the row tells it
    source_updated_at timestamptz NOT NULL, -- with object_modified_at and object_id: the row's position
    object_modified_at timestamptz NOT NULL,
    raw bytea NOT NULL,                     -- its first 64 KB, byte for byte
    raw_complete boolean NOT NULL,
    errors jsonb NOT NULL,                  -- [{"field", "rule", "message"}, …], never empty
    mapping_version integer NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'resolved', 'superseded', 'discarded')),
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    UNIQUE (object_id, ordinal),
    CHECK ((status = 'open') = (settled_at IS NULL))
);
CREATE INDEX rejects_open ON ingest.rejects (record_key) WHERE status = 'open';

-- Raised by each load in its own transaction; the sum is the data version that keys the query cache.
-- A row per source and dataset, so that loads of different sources do not wait for one another.
CREATE TABLE ingest.data_versions (
    source text NOT NULL,
    dataset text NOT NULL,
    version bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, dataset)
);

-- A worker holds an advisory lock on its own name for as long as its session lives; PostgreSQL lets go of it the moment
-- the worker is killed, and of all of them when it restarts itself. So nobody waits for the claims of the dead.
CREATE FUNCTION ingest.worker_is_alive(worker text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_locks l
        JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = current_database()
        WHERE l.locktype = 'advisory' AND l.objsubid = 1
          AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(worker, 0))
$$;
GRANT EXECUTE ON FUNCTION ingest.worker_is_alive(text) TO pipeline_loader;

GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA ingest TO pipeline_loader;

CREATE VIEW analytics.data_version AS
    SELECT coalesce(sum(version), 0)::bigint AS data_version, max(changed_at) AS changed_at FROM ingest.data_versions;

CREATE VIEW analytics.objects AS
    SELECT object_id, key, source, dataset, state, size, records, inserted, updated, unchanged, stale, rejected, deleted,
           discovered_at, started_at, finished_at
    FROM ingest.objects;

CREATE VIEW analytics.reject_counts AS
    SELECT source, dataset, status, count(*) AS rejects, max(created_at) AS latest
    FROM ingest.rejects GROUP BY source, dataset, status;

-- migrate:down
