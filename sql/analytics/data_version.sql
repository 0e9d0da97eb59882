-- Rises with every load, in the load's own transaction: the key of the query cache.
SELECT data_version FROM analytics.data_version
