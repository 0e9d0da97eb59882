-- Supersedes rejects of entities for which the probe found a newer valid row. Reads: known.
-- Parameter: object_ids, the objects that were not refused.
UPDATE ingest.rejects r SET status = 'superseded', settled_at = now()
FROM {known}
CROSS JOIN LATERAL unnest({known}.{ids}, {known}.source_updated_ats, {known}.ordinals) AS said ({id}, source_updated_at, ordinal)
JOIN {table} e USING ({id})
WHERE {known}.object_id = ANY (%(object_ids)s) AND r.status = 'open' AND r.record_key = e.canonical_id AND r.dataset = '{dataset}'
  AND (said.source_updated_at, {known}.object_modified_at, {known}.object_id, said.ordinal)
    > (r.source_updated_at, r.object_modified_at, r.object_id, r.ordinal)
