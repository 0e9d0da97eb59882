-- Moves replayed rows in their object's counts from rejected to what they are now. Parameters: object_id; reject_ids,
-- all that were tried; bad, the ordinals that still are; and the counts.
WITH resolved AS (
    UPDATE ingest.rejects SET status = 'resolved', settled_at = now()
    WHERE object_id = %(object_id)s AND status = 'open' AND raw_complete
      AND reject_id = ANY (%(reject_ids)s) AND ordinal <> ALL (%(bad)s)
    RETURNING 1
)
UPDATE ingest.objects SET
    state = CASE WHEN rejected > (SELECT count(*) FROM resolved) THEN state ELSE 'loaded' END,
    rejected = rejected - (SELECT count(*) FROM resolved),
    inserted = inserted + %(inserted)s, updated = updated + %(updated)s, unchanged = unchanged + %(unchanged)s,
    stale = stale + %(stale)s, deleted = deleted + %(deleted)s
WHERE object_id = %(object_id)s
