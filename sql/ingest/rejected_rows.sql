-- The rejects to replay that are still open, as they were sent, whether that is all of a row, and whether it was told apart
-- by the number of its cells; locked, so that nobody settles them meanwhile. Parameter: reject_ids, of one object.
SELECT ordinal, line, raw, raw_complete, errors @> '[{"rule": "ragged_row"}]' AS ragged
FROM ingest.rejects
WHERE reject_id = ANY (%(reject_ids)s) AND status = 'open'
ORDER BY ordinal
FOR UPDATE
