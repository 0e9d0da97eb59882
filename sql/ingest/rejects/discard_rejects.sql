-- Discards open rejects that will not be corrected.
-- Parameter: reject_ids.
UPDATE ingest.rejects SET status = 'discarded', settled_at = now()
WHERE status = 'open' AND reject_id = ANY (%(reject_ids)s)
