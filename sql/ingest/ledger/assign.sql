-- Assigns objects to a batch.
-- Parameters: object_ids, batch.
UPDATE ingest.objects SET batch = %(batch)s, batched_at = clock_timestamp() WHERE object_id = ANY (%(object_ids)s)
