-- The rejects to replay that are still open, and whether they can be: not where a row was kept in part, or told apart by the
-- number of its cells. Locked, so that nobody settles them meanwhile. Parameter: reject_ids, of one object.
SELECT reject_id, ordinal, raw_complete AND NOT errors @> '[{"rule": "ragged_row"}]' AS can_be_tried
FROM ingest.rejects
WHERE reject_id = ANY (%(reject_ids)s) AND status = 'open'
ORDER BY ordinal
FOR UPDATE
