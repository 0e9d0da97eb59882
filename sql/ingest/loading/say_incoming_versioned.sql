-- Notes which rows a micro-batch has merged for objects of snapshots, and whether they are tombstones.
-- Reads: incoming. Writes: said. Parameter: object_ids.
INSERT INTO {said} ({id}, object_id, source_updated_at, ordinal, deleted)
SELECT {id}, object_id, source_updated_at, ordinal, deleted
FROM (
    SELECT s.{id}, i.object_id, i.source_updated_at, i.ordinal, i.deleted
    FROM {incoming} i
    -- FULL, as in probe_versioned.sql: all that is stored is incoming.
    FULL JOIN (
        SELECT canonical_id, {id} FROM {table}
        WHERE canonical_id = ANY ((SELECT array_agg(canonical_id) FROM {incoming})::text[]) OFFSET 0
    ) s ON s.canonical_id = i.canonical_id
    OFFSET 0
) merged
WHERE object_id = ANY (%(object_ids)s)
