-- Returns a snapshot for its decision. Requires: the lock of its source and dataset.
-- Parameter: snapshot_id.
SELECT state, scope, as_of, approved_at IS NOT NULL AS approved, listed, forgotten
FROM ingest.snapshots WHERE snapshot_id = %(snapshot_id)s FOR UPDATE
