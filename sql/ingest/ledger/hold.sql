-- Locks a worker's objects until the end of the transaction that loads them. Returns the objects that the worker still holds.
-- Parameters: object_ids, worker.
SELECT object_id FROM ingest.objects
WHERE object_id = ANY (%(object_ids)s) AND state = 'claimed' AND claimed_by = %(worker)s
ORDER BY object_id
FOR UPDATE
