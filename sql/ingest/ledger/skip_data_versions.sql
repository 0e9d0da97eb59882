-- After a restore. Versions since the backup were given out, and answers of them are kept: in the cache, and by their ETags with
-- callers. More are left out than a database has loads between its backup and its loss.
UPDATE ingest.data_versions SET version = version + 1000000
