-- The newest mapping of each source and dataset.
SELECT DISTINCT ON (source, dataset) source, dataset, version, fingerprint, created_at
FROM ingest.mappings
ORDER BY source, dataset, version DESC
