-- migrate:up

-- Which mapping each mapping_version stands for. The greatest version of a source and dataset is the one in use.
CREATE TABLE ingest.mappings (
    source text NOT NULL,
    dataset text NOT NULL,
    version integer NOT NULL,
    fingerprint text,                       -- null: in use before this table; the next load writes its own here
    created_at timestamptz NOT NULL DEFAULT now(), -- since when it is used; if older than this table: when that was made
    PRIMARY KEY (source, dataset, version)
);
GRANT SELECT, INSERT ON ingest.mappings TO pipeline_loader;
GRANT UPDATE (fingerprint) ON ingest.mappings TO pipeline_loader;

-- The versions in use, so that no record is mapped again because of this migration.
INSERT INTO ingest.mappings (source, dataset, version)
SELECT source, dataset, max(version)
FROM (
    SELECT source, 'entities' AS dataset, max(mapping_version) AS version FROM canonical.entities GROUP BY source
    UNION ALL
    SELECT source, 'entities', max(mapping_version) FROM canonical.entity_confirmation_blocks GROUP BY source
    UNION ALL
    SELECT e.source, 'entities', max(v.mapping_version)
    FROM canonical.entity_versions v JOIN canonical.entities e USING (entity_id) GROUP BY e.source
    UNION ALL
    SELECT source, dataset, max(mapping_version) FROM ingest.rejects GROUP BY source, dataset
    UNION ALL
    -- Rows of the other datasets do not tell their version. Nothing depends on it.
    SELECT source, dataset, 1 FROM ingest.objects
    WHERE state IN ('loaded', 'loaded_with_rejects') GROUP BY source, dataset
) used
WHERE source IS NOT NULL AND dataset IS NOT NULL
GROUP BY source, dataset;

-- migrate:down
