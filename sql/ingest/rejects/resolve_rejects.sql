-- Rows of a replayed object that were bad and are good now. Parameters: object_id; bad, the ordinals that still are.
UPDATE ingest.rejects SET status = 'resolved', settled_at = now()
WHERE object_id = %(object_id)s AND status = 'open' AND ordinal <> ALL (%(bad)s)
