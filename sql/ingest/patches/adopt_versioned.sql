-- Stores what is known of staged entities as whole patches, if they were loaded before their source was declared partial.
-- Reads the staged records, the table, its versions and confirmations. A whole patch keeps nothing of the patches before it.
INSERT INTO ingest.patches (
    source, dataset, record_key, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, record_digest,
    deleted, whole, fields, attributes)
WITH entities AS (
    SELECT {id}, canonical_id, source FROM {table} e
    WHERE canonical_id = ANY ((SELECT array_agg(DISTINCT canonical_id) FROM {sent})::text[])
      AND NOT EXISTS (
          SELECT FROM ingest.patches p
          WHERE (p.source, p.dataset, p.record_key) = (e.source, '{dataset}', e.canonical_id))
),
states AS (
    SELECT s.{id}, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, record_digest,
        {s.state}
    FROM {table} s WHERE {id} = ANY ((SELECT array_agg({id}) FROM entities)::bigint[])
    UNION ALL
    SELECT s.{id}, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, record_digest,
        {s.state}
    FROM {versions} s WHERE {id} = ANY ((SELECT array_agg({id}) FROM entities)::bigint[])
),
confirmed AS (
    SELECT c.*
    FROM entities e
    CROSS JOIN LATERAL (
        SELECT {id}, source_updated_at, object_modified_at, object_id, ordinal, mapping_version
        FROM {confirmations} c
        WHERE c.block = canonical.confirmation_block(e.{id}) AND c.{id} = e.{id} OFFSET 0
    ) c
),
said AS (
    SELECT s.*, source_updated_at AS at, object_modified_at AS uploaded_at, object_id AS sent_in, ordinal AS nth,
        mapping_version AS read_by
    FROM states s
    UNION ALL
    SELECT s.*, c.source_updated_at, c.object_modified_at, c.object_id, c.ordinal, c.mapping_version
    FROM confirmed c
    CROSS JOIN LATERAL (
        SELECT * FROM states s
        WHERE s.{id} = c.{id}
          AND (s.source_updated_at, s.object_modified_at, s.object_id)
           <= (c.source_updated_at, c.object_modified_at, c.object_id)
        ORDER BY s.source_updated_at DESC, s.object_modified_at DESC, s.object_id DESC LIMIT 1
    ) s
)
SELECT source, '{dataset}', canonical_id, at, uploaded_at, sent_in, nth, read_by, record_digest,
    deleted, true, content.fields - ARRAY['deleted', '{rest}'], content.fields -> '{rest}'
FROM entities JOIN said s USING ({id})
CROSS JOIN LATERAL (SELECT to_jsonb(c) AS fields FROM (SELECT {s.state}) c OFFSET 0) content
ON CONFLICT DO NOTHING
