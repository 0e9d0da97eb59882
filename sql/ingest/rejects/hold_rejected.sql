-- Locks and returns the object whose rejects are replayed. Returns no row if the object is being loaded or failed as a whole.
-- Then the object itself has to be replayed.
-- Parameter: object_id.
SELECT object_id, bucket, key, version, versioned, size, source, dataset, attempts, format, last_modified
FROM ingest.objects
WHERE object_id = %(object_id)s AND state = 'loaded_with_rejects' AND source IS NOT NULL
FOR UPDATE SKIP LOCKED
