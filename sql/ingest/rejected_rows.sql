-- The rows to replay, as they were sent. One of which only the beginning is kept cannot be. Parameter: reject_ids.
SELECT ordinal, line, raw FROM ingest.rejects
WHERE reject_id = ANY (%(reject_ids)s) AND object_id = %(object_id)s AND status = 'open' AND raw_complete
ORDER BY ordinal
