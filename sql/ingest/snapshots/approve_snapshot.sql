-- Records that a person allowed the deletions of a snapshot.
-- Parameter: snapshot_id.
UPDATE ingest.snapshots SET approved_at = coalesce(approved_at, clock_timestamp()) WHERE snapshot_id = %(snapshot_id)s
