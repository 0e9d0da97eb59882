-- Returns the objects of a snapshot. An object whose replay waits is still loaded.
-- Parameter: snapshot_id.
SELECT key, coalesce(loaded_as, state), last_modified FROM ingest.objects WHERE snapshot_id = %(snapshot_id)s ORDER BY key, discovered_at
