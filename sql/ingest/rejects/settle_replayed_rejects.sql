-- Resolves replayed rejects, and moves the records among them in the object's counts from rejected to their new outcome.
-- Includes rejects that another one of them has superseded meanwhile.
-- Parameters: object_id; good, the ordinals that are valid now; loaded, the number of rejected records that are rows now;
-- fields_unread, by how many the unread values change; and the counts of the records.
WITH resolved AS (
    UPDATE ingest.rejects SET status = 'resolved', settled_at = now()
    WHERE object_id = %(object_id)s AND ordinal = ANY (%(good)s)
    RETURNING 1
)
UPDATE ingest.objects SET
    state = CASE
        WHEN rejected > %(loaded)s OR fields_unread + %(fields_unread)s > 0 THEN state ELSE 'loaded' END,
    rejected = rejected - %(loaded)s,
    fields_unread = fields_unread + %(fields_unread)s,
    inserted = inserted + %(inserted)s, updated = updated + %(updated)s, unchanged = unchanged + %(unchanged)s,
    stale = stale + %(stale)s, deleted = deleted + %(deleted)s
WHERE object_id = %(object_id)s
