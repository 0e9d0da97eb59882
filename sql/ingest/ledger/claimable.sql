-- Returns the objects that wait to be loaded, oldest first.
-- Parameter: object_ids.
SELECT object_id
FROM ingest.objects
WHERE object_id = ANY (%(object_ids)s)
  AND (state = 'discovered'
       OR (state = 'claimed' AND (claim_expires_at < now() OR NOT ingest.worker_is_alive(claimed_by))))
ORDER BY discovered_at, object_id
