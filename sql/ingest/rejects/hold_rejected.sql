-- The object whose rejects are replayed, locked; none if it is being loaded or was refused as a whole (then there is
-- nothing to complete: the object itself has to be replayed). Parameter: object_id.
SELECT object_id, bucket, key, version, versioned, size, source, dataset, attempts, last_modified
FROM ingest.objects
WHERE object_id = %(object_id)s AND state = 'loaded_with_rejects' AND source IS NOT NULL
FOR UPDATE SKIP LOCKED
