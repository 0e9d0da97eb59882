-- In the transaction of the load, so that nothing cached under an older version outlives it.
INSERT INTO ingest.data_versions AS v (source, dataset, version) VALUES (%(source)s, %(dataset)s, 1)
ON CONFLICT (source, dataset) DO UPDATE SET version = v.version + 1, changed_at = now()
