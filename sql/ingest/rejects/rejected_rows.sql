-- Rejects as they were sent, also those that a row of their own object has superseded since they were held: under the mapping
-- of today they may come later than that row. Parameter: reject_ids, of one object.
SELECT ordinal, line, raw FROM ingest.rejects WHERE reject_id = ANY (%(reject_ids)s) ORDER BY ordinal
