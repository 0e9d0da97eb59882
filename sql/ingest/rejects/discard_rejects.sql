-- Open rejects that nobody will mend. Parameter: reject_ids.
UPDATE ingest.rejects SET status = 'discarded', settled_at = now()
WHERE status = 'open' AND reject_id = ANY (%(reject_ids)s)
