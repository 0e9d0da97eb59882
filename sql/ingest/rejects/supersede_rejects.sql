-- Bad rows of entities for which the staged batch has a newer good one.
UPDATE ingest.rejects r SET status = 'superseded', settled_at = now()
FROM incoming_entities good
WHERE r.status = 'open' AND r.record_key = good.canonical_id AND r.dataset = 'entities'
  AND (good.source_updated_at, good.object_modified_at, good.object_id, good.ordinal)
    > (r.source_updated_at, r.object_modified_at, r.object_id, r.ordinal)
