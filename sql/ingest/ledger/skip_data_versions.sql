-- Raises all data versions after a restore. Versions after the backup were already used. Their results can be in the cache, and
-- callers can hold their ETags. The step is larger than the number of loads between a backup and the loss of a database.
UPDATE ingest.data_versions SET version = version + 1000000
