-- Drops what is kept of the members of a snapshot.
-- Parameter: snapshot_id.
WITH members AS (
    DELETE FROM ingest.snapshot_members WHERE snapshot_id = %(snapshot_id)s
)
DELETE FROM ingest.snapshot_marks WHERE snapshot_id = %(snapshot_id)s
