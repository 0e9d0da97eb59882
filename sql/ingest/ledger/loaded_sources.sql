-- Returns the sources from which entities were loaded.
SELECT source FROM ingest.data_versions WHERE dataset = 'entities'
