-- Queues unroutable objects whose source is registered now.
-- Parameters: arrays object_ids, sources, datasets.
UPDATE ingest.objects o SET source = r.source, dataset = r.dataset, state = 'discovered', attempts = 0
FROM unnest(%(object_ids)s::bigint[], %(sources)s::text[], %(datasets)s::text[]) AS r (object_id, source, dataset)
WHERE o.object_id = r.object_id AND o.state = 'unroutable'
