-- Finds records that are already stored unchanged, so that they need neither mapping nor merging. Such a record is newer than
-- the current version and equal to it, or older and equal to the version that was valid at its position.
-- Reads: probe_keys. Writes: known. `recorded` in known: the record itself is stored (a replay), so it needs no confirmation
-- either.
-- Returns, for each object, the ordinals, and whether the records are unchanged (otherwise stale).
-- Parameters: object_ids and object_modified_ats, by place; mapping_version; repeats, whether an object of this transaction may
-- already have written an earlier version of the same entity.
WITH stored AS (
    -- One index scan for all rows. OFFSET keeps the planner from merging this into the join. It returns only the needed columns.
    SELECT
        canonical_id, {id}, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, record_digest
    FROM {table}
    WHERE canonical_id = ANY ((SELECT array_agg(canonical_id) FROM {probe_keys})::text[]) OFFSET 0
),
compared AS (
    -- standing: 2, the record of the current version itself; 1, newer and equal; 0, older; null, none of these.
    SELECT p.source_updated_at, p.object_modified_at, p.object_id, p.ordinal, p.record_digest, e.{id},
           CASE
               WHEN e.object_id = p.object_id THEN CASE
                   WHEN e.record_digest = p.record_digest
                       AND e.ordinal = p.ordinal AND e.source_updated_at = p.source_updated_at
                       AND e.mapping_version = %(mapping_version)s THEN 2 END
               WHEN (p.source_updated_at, p.object_modified_at, p.object_id)
                  > (e.source_updated_at, e.object_modified_at, e.object_id) THEN CASE
                   WHEN e.record_digest = p.record_digest THEN 1 END
               WHEN e.{id} IS NOT NULL THEN 0
           END AS standing
    FROM (
        SELECT *, (%(object_ids)s::bigint[])[object_place] AS object_id,
               (%(object_modified_ats)s::timestamptz[])[object_place] AS object_modified_at
        FROM {probe_keys}
    ) p
    -- FULL, although each stored row was probed: PostgreSQL expects few rows in `stored`, and would read them again for each
    -- record. It can run a full join only as a hash or merge join.
    FULL JOIN stored e USING (canonical_id)
),
earlier AS (
    -- One index scan of the history, for all records that are older than the current version.
    SELECT {id}, source_updated_at, object_modified_at, object_id, ordinal, valid_to, record_digest
    FROM {versions}
    WHERE NOT %(repeats)s
      AND {id} = ANY ((SELECT array_agg({id}) FROM compared WHERE standing = 0)::bigint[]) OFFSET 0
),
matched AS (
    -- standing: 2, recorded; 1, equal to the current version; 0, equal to an earlier version.
    SELECT c.source_updated_at, c.object_modified_at, c.object_id, c.ordinal, c.{id},
           CASE
               WHEN c.standing = 1 AND %(repeats)s AND EXISTS (
                   SELECT FROM {confirmations} d
                   WHERE d.block = canonical.confirmation_block(c.{id})
                     AND (d.{id}, d.object_id, d.ordinal, d.source_updated_at, d.mapping_version)
                       = (c.{id}, c.object_id, c.ordinal, c.source_updated_at, %(mapping_version)s)) THEN 2
               WHEN c.standing > 0 THEN c.standing
               WHEN v.object_id = c.object_id THEN 2
               ELSE 0
           END AS standing
    FROM compared c
    -- If the next version has the same time as the record, the merge decides.
    FULL JOIN earlier v
        ON v.{id} = c.{id} AND v.record_digest = c.record_digest
        AND c.standing = 0
        AND (v.source_updated_at, v.object_modified_at, v.object_id)
            <= (c.source_updated_at, c.object_modified_at, c.object_id)
        AND c.source_updated_at < v.valid_to
        AND (v.object_id <> c.object_id OR (v.ordinal, v.source_updated_at) = (c.ordinal, c.source_updated_at))
    WHERE CASE c.standing
        WHEN 2 THEN true
        WHEN 1 THEN NOT (%(repeats)s AND EXISTS (
            SELECT FROM {versions} v
            WHERE v.{id} = c.{id} AND v.object_id = c.object_id))
        ELSE v.{id} = c.{id}  -- null if one of the two is missing
    END
)
INSERT INTO {known} (block, object_id, object_modified_at, unchanged, recorded, {ids}, source_updated_ats, ordinals)
SELECT canonical.confirmation_block({id}), object_id, any_value(object_modified_at), standing > 0, standing = 2,
       array_agg({id}), array_agg(source_updated_at), array_agg(ordinal)
FROM matched
GROUP BY canonical.confirmation_block({id}), object_id, standing
RETURNING object_id, ordinals, unchanged
