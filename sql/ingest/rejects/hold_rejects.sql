-- Locks and returns open rejects with their kind, the number of their errors, and whether each can be replayed. A row that is stored in part cannot, and a CSV row with a
-- wrong number of cells cannot. The lock prevents that another session settles them meanwhile.
-- Parameter: reject_ids, of one object.
SELECT reject_id, ordinal, kind, jsonb_array_length(errors), raw_complete AND NOT errors @> '[{"rule": "ragged_row"}]' AS can_be_tried
FROM ingest.rejects
WHERE reject_id = ANY (%(reject_ids)s) AND status = 'open'
ORDER BY ordinal
FOR UPDATE
