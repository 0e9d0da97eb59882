-- Merges the incoming relationships: the greater position wins. An unchanged row takes its new position, so that a late one
-- between the two cannot win. Returns a row for each outcome: new, changed, unchanged,
-- same (a replay), stale.
WITH merged AS (
    INSERT INTO canonical.entity_relationships AS t (
        source, parent_canonical_id, child_canonical_id, relationship_type, valid_from,
        valid_to, deleted, attributes, source_updated_at, object_modified_at, object_id, ordinal, content_hash)
    SELECT
        source, parent_canonical_id, child_canonical_id, relationship_type, valid_from,
        valid_to, deleted, attributes, source_updated_at, object_modified_at, object_id, ordinal, content_hash
    FROM incoming_relationships WHERE NOT late
    ON CONFLICT (source, parent_canonical_id, child_canonical_id, relationship_type, valid_from) DO UPDATE SET
        valid_to = EXCLUDED.valid_to, deleted = EXCLUDED.deleted, attributes = EXCLUDED.attributes,
        source_updated_at = EXCLUDED.source_updated_at, object_modified_at = EXCLUDED.object_modified_at,
        object_id = EXCLUDED.object_id, ordinal = EXCLUDED.ordinal, content_hash = EXCLUDED.content_hash,
        updated_at = CASE WHEN t.content_hash = EXCLUDED.content_hash THEN t.updated_at ELSE now() END
    WHERE (EXCLUDED.source_updated_at, EXCLUDED.object_modified_at, EXCLUDED.object_id, EXCLUDED.ordinal)
        > (t.source_updated_at, t.object_modified_at, t.object_id, t.ordinal)
       OR (t.object_id = EXCLUDED.object_id AND t.ordinal = EXCLUDED.ordinal AND t.content_hash <> EXCLUDED.content_hash)
    RETURNING new.object_id, new.ordinal, new.deleted, CASE
        WHEN old.object_id IS NULL THEN 'new'
        WHEN old.content_hash = new.content_hash THEN 'unchanged'
        ELSE 'changed' END AS outcome
)
SELECT i.object_id,
       CASE
           WHEN m.outcome IS NOT NULL THEN m.outcome
           WHEN EXISTS (
               SELECT FROM canonical.entity_relationships t
               WHERE (t.source, t.parent_canonical_id, t.child_canonical_id, t.relationship_type, t.valid_from)
                   = (i.source, i.parent_canonical_id, i.child_canonical_id, i.relationship_type, i.valid_from)
                 AND (t.object_id, t.ordinal) = (i.object_id, i.ordinal)) THEN 'same'
           ELSE 'stale' END AS outcome,
       count(*) AS rows, count(*) FILTER (WHERE i.deleted) AS deleted
FROM incoming_relationships i
LEFT JOIN merged m USING (object_id, ordinal)
GROUP BY 1, 2
