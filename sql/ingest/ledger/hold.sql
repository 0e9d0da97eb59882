-- Locks a worker's objects for the rest of the transaction that loads them; returns those that are still the worker's.
SELECT object_id FROM ingest.objects
WHERE object_id = ANY (%(object_ids)s) AND state = 'claimed' AND claimed_by = %(worker)s
ORDER BY object_id
FOR UPDATE
