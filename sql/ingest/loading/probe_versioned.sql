-- Which of the probed records are already stored unchanged: they need neither mapping nor writing.
-- Newer than the current state and equal to it, or older and equal to the state that was valid at their position.
-- Puts them into `known`; returns object_id, ordinals and whether they are unchanged, or else stale, for each row of it.
-- `recorded`: what the row says is stored (a replay), so there is not even something to confirm.
-- Parameters: object_ids and object_modified_ats, by place; mapping_version; repeats, whether an object of this transaction
-- may already have said something about the same entity among the earlier states.
WITH stored AS (
    -- One walk through the index for all of them. OFFSET keeps it apart from the join, and so would hand on all columns.
    SELECT
        canonical_id, {id}, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, record_digest
    FROM {table}
    WHERE canonical_id = ANY ((SELECT array_agg(canonical_id) FROM {probe_keys})::text[]) OFFSET 0
),
compared AS (
    -- standing: 2, the very row that the current state was read from; 1, newer than it and equal; 0, older; null, none of these.
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
    -- All that is stored was probed. FULL, since PostgreSQL takes `stored` to be short and would go through it for each of
    -- many records; a full join it can only hash or merge.
    FULL JOIN stored e USING (canonical_id)
),
earlier AS (
    -- Likewise one walk through the history of all that is told about something older.
    SELECT {id}, source_updated_at, object_modified_at, object_id, ordinal, valid_to, record_digest
    FROM {versions}
    WHERE NOT %(repeats)s
      AND {id} = ANY ((SELECT array_agg({id}) FROM compared WHERE standing = 0)::bigint[]) OFFSET 0
),
matched AS (
    -- standing: 2, recorded; 1, as the current state; 0, as an earlier one.
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
    -- Where the next state has the very time of the record, merging decides.
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
        ELSE v.{id} = c.{id}  -- null where either is missing
    END
)
INSERT INTO {known} (block, object_id, object_modified_at, unchanged, recorded, {ids}, source_updated_ats, ordinals)
SELECT canonical.confirmation_block({id}), object_id, any_value(object_modified_at), standing > 0, standing = 2,
       array_agg({id}), array_agg(source_updated_at), array_agg(ordinal)
FROM matched
GROUP BY canonical.confirmation_block({id}), object_id, standing
RETURNING object_id, ordinals, unchanged
