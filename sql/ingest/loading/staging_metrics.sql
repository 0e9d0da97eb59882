-- The temporary table of a loader's connection for metrics. It is emptied with each commit.
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_metrics (
    late boolean NOT NULL DEFAULT false,
    canonical_id text NOT NULL,
    metric_type text NOT NULL,
    metric_date date NOT NULL,
    source text NOT NULL,
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    ordinal integer NOT NULL,
    content_hash uuid NOT NULL,
    value numeric,
    quality real,
    tags jsonb NOT NULL,
    deleted boolean NOT NULL
) ON COMMIT DELETE ROWS;
