-- What the key of the query cache holds besides the question: the data version, which rises with every load, in the load's own
-- transaction, and the schema's.
SELECT data_version, schema_version FROM analytics.data_version, analytics.schema_version
