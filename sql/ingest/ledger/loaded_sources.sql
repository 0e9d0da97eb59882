-- The sources of which entities were ever loaded.
SELECT source FROM ingest.data_versions WHERE dataset = 'entities'
