-- Temporary tables of a loader's connection for entities. They are emptied with each commit. Where all columns are short,
-- STORAGE PLAIN does without a table for long values, which would be emptied with each chunk, too.

-- Records by key, time and digest: are they there already in this very form? What is common to an object is a parameter.
CREATE TEMPORARY TABLE IF NOT EXISTS {probe_keys} (
    source_updated_at timestamptz NOT NULL,
    record_digest uuid NOT NULL,
    ordinal integer NOT NULL,
    object_place integer NOT NULL,          -- in the parameters, from 1
    canonical_id text STORAGE PLAIN NOT NULL
) ON COMMIT DELETE ROWS;

-- Those that are, a row for each object and block of confirmations.
CREATE TEMPORARY TABLE IF NOT EXISTS {known} (
    block bigint NOT NULL,
    object_id bigint NOT NULL,
    object_modified_at timestamptz NOT NULL,
    unchanged boolean NOT NULL,             -- else stale
    recorded boolean NOT NULL,
    {ids} bigint[] STORAGE PLAIN NOT NULL,
    source_updated_ats timestamptz[] STORAGE PLAIN NOT NULL,
    ordinals integer[] STORAGE PLAIN NOT NULL
) ON COMMIT DELETE ROWS;

CREATE TEMPORARY TABLE IF NOT EXISTS {incoming} (
    late boolean NOT NULL DEFAULT false,    -- another row of the same batch is newer
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
