-- Drops staged records after which their own object says something else of the entity: of one object the last word counts.
-- Needed where only some records of an object are read, so that the others are not staged beside them.
-- Returns the object of each that is dropped.
DELETE FROM incoming_entities i
USING canonical.entities e
WHERE e.canonical_id = i.canonical_id
  AND ((e.object_id = i.object_id AND (e.source_updated_at, e.ordinal) > (i.source_updated_at, i.ordinal))
    OR EXISTS (
        SELECT FROM canonical.entity_versions v
        WHERE (v.entity_id, v.object_id) = (e.entity_id, i.object_id)
          AND (v.source_updated_at, v.ordinal) > (i.source_updated_at, i.ordinal))
    OR EXISTS (
        SELECT FROM canonical.entity_confirmations c
        WHERE c.block = canonical.confirmation_block(e.entity_id)
          AND (c.entity_id, c.object_id) = (e.entity_id, i.object_id)
          AND (c.source_updated_at, c.ordinal) > (i.source_updated_at, i.ordinal)))
RETURNING i.object_id
