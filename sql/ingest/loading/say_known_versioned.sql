-- Notes which rows the last probe found for objects of snapshots, and whether they are tombstones.
-- Reads: known. Writes: said. Parameter: object_ids.
INSERT INTO {said} ({id}, object_id, source_updated_at, ordinal, deleted)
SELECT k.{id}, k.object_id, k.source_updated_at, k.ordinal,
       CASE WHEN k.unchanged THEN e.deleted ELSE (
           SELECT v.deleted FROM {versions} v
           WHERE v.{id} = k.{id}
             AND (v.source_updated_at, v.object_modified_at, v.object_id)
              <= (k.source_updated_at, k.object_modified_at, k.object_id)
           ORDER BY v.version DESC LIMIT 1) END
FROM (
    SELECT object_id, object_modified_at, unchanged, each.*
    FROM {known}
    CROSS JOIN LATERAL unnest({ids}, source_updated_ats, ordinals) AS each ({id}, source_updated_at, ordinal)
    WHERE object_id = ANY (%(object_ids)s)
) k
JOIN (SELECT {id}, deleted FROM {table} WHERE {id} = ANY ((
    SELECT array_agg(each) FROM {known} CROSS JOIN LATERAL unnest({ids}) AS each WHERE object_id = ANY (%(object_ids)s)
)::bigint[])) e USING ({id})
