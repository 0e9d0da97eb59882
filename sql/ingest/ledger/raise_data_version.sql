-- Raises the data version. Requires: the transaction of the load, so that no result of an older version stays in the cache.
-- Parameters: source, dataset.
INSERT INTO ingest.data_versions AS v (source, dataset, version) VALUES (%(source)s, %(dataset)s, 1)
ON CONFLICT (source, dataset) DO UPDATE SET version = v.version + 1, changed_at = now()
