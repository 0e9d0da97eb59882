-- The rejects to replay that are still open, as they were sent, and whether that is all of a row; locked, so that nobody
-- settles them meanwhile. Parameter: reject_ids, of one object.
SELECT ordinal, line, raw, raw_complete FROM ingest.rejects
WHERE reject_id = ANY (%(reject_ids)s) AND status = 'open'
ORDER BY ordinal
FOR UPDATE
