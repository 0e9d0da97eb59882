-- Resolves replayed rejects, and moves them in the object's counts from rejected to their new outcome. Includes rejects that
-- another one of them has superseded meanwhile.
-- Parameters: object_id; good, the ordinals that are valid now; and the counts.
WITH resolved AS (
    UPDATE ingest.rejects SET status = 'resolved', settled_at = now()
    WHERE object_id = %(object_id)s AND ordinal = ANY (%(good)s)
    RETURNING 1
)
UPDATE ingest.objects SET
    state = CASE WHEN rejected > (SELECT count(*) FROM resolved) THEN state ELSE 'loaded' END,
    rejected = rejected - (SELECT count(*) FROM resolved),
    inserted = inserted + %(inserted)s, updated = updated + %(updated)s, unchanged = unchanged + %(unchanged)s,
    stale = stale + %(stale)s, deleted = deleted + %(deleted)s
WHERE object_id = %(object_id)s
