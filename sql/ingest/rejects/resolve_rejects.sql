-- Resolves rejects of a replayed object that are valid now.
-- Parameters: object_id; bad, the ordinals that are still invalid.
UPDATE ingest.rejects SET status = 'resolved', settled_at = now()
WHERE object_id = %(object_id)s AND status = 'open' AND ordinal <> ALL (%(bad)s)
