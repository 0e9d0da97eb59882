-- Bad rows of objects just loaded, of entities that have a newer good row already. Parameter: object_ids.
UPDATE ingest.rejects r SET status = 'superseded', settled_at = now()
FROM canonical.entities e
WHERE r.status = 'open' AND r.object_id = ANY (%(object_ids)s) AND r.dataset = 'entities' AND e.canonical_id = r.record_key
  AND ((e.source_updated_at, e.object_modified_at, e.object_id, e.ordinal)
        > (r.source_updated_at, r.object_modified_at, r.object_id, r.ordinal)
    OR EXISTS (
        SELECT FROM canonical.entity_confirmations c
        WHERE c.block = canonical.confirmation_block(e.entity_id) AND c.entity_id = e.entity_id
          AND (c.source_updated_at, c.object_modified_at, c.object_id, c.ordinal)
            > (r.source_updated_at, r.object_modified_at, r.object_id, r.ordinal)))
