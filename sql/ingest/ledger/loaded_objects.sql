-- Returns the objects of a bucket from which at least one record was loaded.
SELECT object_id, key FROM ingest.objects WHERE bucket = %(bucket)s AND state IN ('loaded', 'loaded_with_rejects') ORDER BY key
