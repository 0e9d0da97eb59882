-- Returns the sources that have loaded rows of a dataset. Parameter: dataset.
SELECT source FROM ingest.data_versions WHERE dataset = %(dataset)s ORDER BY source
