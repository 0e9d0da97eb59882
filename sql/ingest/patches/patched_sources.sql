-- Returns the sources that have patches of a dataset. Parameter: dataset.
SELECT source FROM ingest.data_versions v
WHERE dataset = %(dataset)s
  AND EXISTS (SELECT FROM ingest.patches p WHERE (p.source, p.dataset) = (v.source, v.dataset))
