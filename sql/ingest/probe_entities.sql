-- Which of the peeked records are there already in this very form: they need neither mapping nor writing.
-- Newer than the current state and equal to it, or older and equal to the state that was valid at their position.
-- `recorded`: the row itself is what is stored (a replay), so there is not even something to confirm.
-- Parameter: repeats, whether an object of this transaction may already have said something about the same entity
-- among the earlier states.
WITH compared AS (
    SELECT p.*, e.entity_id,
           (p.source_updated_at, p.object_modified_at, p.object_id)
               > (e.source_updated_at, e.object_modified_at, e.object_id) AS newer,
           e.record_digest = p.record_digest AS as_current,
           e.object_id = p.object_id AS same_object,
           e.ordinal = p.ordinal AND e.source_updated_at = p.source_updated_at AS same_row
    FROM peeked p
    CROSS JOIN LATERAL (
        -- OFFSET keeps this a look-up by index for each row, however few or many PostgreSQL takes the rows to be.
        SELECT e.* FROM canonical.entities e WHERE e.canonical_id = p.canonical_id OFFSET 0
    ) e
),
matched AS (
    SELECT c.*, (c.same_object AND c.same_row) AS recorded
    FROM compared c
    WHERE c.as_current AND CASE
              WHEN c.same_object THEN c.same_row
              ELSE c.newer AND NOT (%(repeats)s AND EXISTS (
                  SELECT FROM canonical.entity_versions v
                  WHERE v.entity_id = c.entity_id AND v.object_id = c.object_id))
          END
    UNION ALL
    SELECT c.*, (v.object_id = c.object_id) AS recorded
    FROM compared c
    CROSS JOIN LATERAL (
        SELECT v.object_id, v.ordinal, v.source_updated_at, v.record_digest
        FROM canonical.entity_versions v
        WHERE v.entity_id = c.entity_id
          AND (v.source_updated_at, v.object_modified_at, v.object_id)
              <= (c.source_updated_at, c.object_modified_at, c.object_id)
        ORDER BY v.version DESC LIMIT 1
    ) v
    WHERE NOT c.newer AND NOT c.same_object AND NOT %(repeats)s
      AND v.record_digest = c.record_digest
      AND (v.object_id <> c.object_id OR (v.ordinal, v.source_updated_at) = (c.ordinal, c.source_updated_at))
),
noted AS (
    INSERT INTO known (entity_id, source_updated_at, object_modified_at, object_id, ordinal, newer, recorded)
    SELECT entity_id, source_updated_at, object_modified_at, object_id, ordinal, newer, recorded FROM matched
    RETURNING object_id, ordinal, newer OR recorded AS unchanged
)
SELECT object_id, array_agg(ordinal), unchanged FROM noted GROUP BY object_id, unchanged
