-- Creates the staging tables for a dataset with a history. Each commit deletes their rows.
-- STORAGE PLAIN: columns with short values need no TOAST table, which each TRUNCATE would have to empty, too.

-- Records of a probe by key, time and digest. Values that all records of an object share are parameters of the probe.
CREATE TEMPORARY TABLE IF NOT EXISTS {probe_keys} (
    source_updated_at timestamptz NOT NULL,
    record_digest uuid NOT NULL,
    ordinal integer NOT NULL,
    object_place integer NOT NULL,          -- place of the object in the parameters, from 1
    canonical_id text STORAGE PLAIN NOT NULL
) ON COMMIT DELETE ROWS;

-- Records that are already stored, one row for each object and block of confirmations.
CREATE TEMPORARY TABLE IF NOT EXISTS {known} (
    block bigint NOT NULL,
    object_id bigint NOT NULL,
    object_modified_at timestamptz NOT NULL,
    unchanged boolean NOT NULL,             -- otherwise stale
    recorded boolean NOT NULL,
    {ids} bigint[] STORAGE PLAIN NOT NULL,
    source_updated_ats timestamptz[] STORAGE PLAIN NOT NULL,
    ordinals integer[] STORAGE PLAIN NOT NULL
) ON COMMIT DELETE ROWS;

CREATE TEMPORARY TABLE IF NOT EXISTS {incoming} (
    late boolean NOT NULL DEFAULT false,    -- another row of the micro-batch is newer
    canonical_id text NOT NULL,
    source text NOT NULL,
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    ordinal integer NOT NULL,
    content_hash uuid NOT NULL,
    {state columns},
    quality_score real NOT NULL,
    mapping_version integer NOT NULL,
    record_digest uuid NOT NULL
) ON COMMIT DELETE ROWS;

CREATE TEMPORARY TABLE IF NOT EXISTS {late} (LIKE {incoming}) ON COMMIT DELETE ROWS;
