-- Every object of a bucket of which something was loaded.
SELECT object_id, key FROM ingest.objects WHERE bucket = %(bucket)s AND state IN ('loaded', 'loaded_with_rejects') ORDER BY key
