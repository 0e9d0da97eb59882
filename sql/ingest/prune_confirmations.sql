-- Forgets confirmations between the beginning of a state and its last confirmation, from objects of before a time: a row
-- that is later still would find the state ending a little earlier than it did. The last confirmation of each state stays.
-- At most `rows` of them; says how many.
-- Parameters: before, rows.
DELETE FROM canonical.entity_confirmations
WHERE (entity_id, object_id) IN (
    SELECT c.entity_id, c.object_id
    FROM canonical.entity_confirmations c
    CROSS JOIN LATERAL (
        SELECT d.source_updated_at, d.object_modified_at, d.object_id
        FROM canonical.entity_confirmations d
        WHERE d.entity_id = c.entity_id
          AND (d.source_updated_at, d.object_modified_at, d.object_id)
              > (c.source_updated_at, c.object_modified_at, c.object_id)
        ORDER BY d.source_updated_at, d.object_modified_at, d.object_id
        LIMIT 1
    ) next
    WHERE c.object_modified_at < %(before)s
      AND NOT EXISTS (
          SELECT FROM canonical.entities e
          WHERE e.entity_id = c.entity_id
            AND (e.source_updated_at, e.object_modified_at, e.object_id)
                BETWEEN (c.source_updated_at, c.object_modified_at, c.object_id)
                    AND (next.source_updated_at, next.object_modified_at, next.object_id))
      AND NOT EXISTS (
          SELECT FROM canonical.entity_versions v
          WHERE v.entity_id = c.entity_id
            AND (v.source_updated_at, v.object_modified_at, v.object_id)
                BETWEEN (c.source_updated_at, c.object_modified_at, c.object_id)
                    AND (next.source_updated_at, next.object_modified_at, next.object_id))
    LIMIT %(rows)s
)
