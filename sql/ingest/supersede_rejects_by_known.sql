-- Bad rows of entities of which the probe found a newer good one to be there already.
UPDATE ingest.rejects r SET status = 'superseded', settled_at = now()
FROM known JOIN canonical.entities e USING (entity_id)
WHERE r.status = 'open' AND r.record_key = e.canonical_id AND r.dataset = 'entities'
  AND (known.source_updated_at, known.object_modified_at, known.object_id)
    > (r.source_updated_at, r.object_modified_at, r.object_id)
