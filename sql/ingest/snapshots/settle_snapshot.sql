-- Writes the state of a snapshot.
-- Parameters: snapshot_id, state, reason, as_of, parts, members, deletes, restores.
UPDATE ingest.snapshots SET
    state = %(state)s, reason = %(reason)s, as_of = %(as_of)s, parts = %(parts)s, members = %(members)s,
    deletes = %(deletes)s, restores = %(restores)s,
    settled_at = CASE WHEN state = %(state)s THEN settled_at WHEN %(state)s <> 'open' THEN clock_timestamp() END
WHERE snapshot_id = %(snapshot_id)s
