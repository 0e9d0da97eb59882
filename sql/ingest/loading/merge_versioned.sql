-- Merges staged rows into a dataset with a history (SCD2). New entities are inserted. A changed entity gets a new version, and
-- its earlier version goes to the table of versions in the same statement. Unchanged entities are confirmed. If an older
-- mapping read an unchanged entity, it gets the digest and hash of the newest record.
-- A row that does not come after everything that is stored for its entity goes to the late rows (place_late_versioned.sql).
-- Returns the number of rows for each object and outcome: new, changed, unchanged, same, late. Also returns whether any of
-- these rows is among the late rows.
-- Parameters: repeats, as in probe_versioned.sql; marked_until, the time of the last mark of a snapshot, or null.
-- Requires: the lock of the source and dataset.
WITH stored AS (
    -- One index scan for all rows, and the same join as in probe_versioned.sql.
    SELECT
        canonical_id, {id}, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash,
        deleted
    FROM {table}
    WHERE canonical_id = ANY ((SELECT array_agg(canonical_id) FROM {incoming})::text[]) OFFSET 0
),
classified AS MATERIALIZED (
    SELECT i.*, e.{id}, e.mapping_version < i.mapping_version AS older_mapping,
           CASE
               WHEN i.late THEN 'late'
               WHEN e.{id} IS NULL THEN 'new'
               WHEN e.object_id = i.object_id THEN CASE
                   WHEN (e.ordinal, e.source_updated_at, e.content_hash, e.mapping_version)
                      = (i.ordinal, i.source_updated_at, i.content_hash, i.mapping_version) THEN 'same'
                   ELSE 'late' END
               WHEN (i.source_updated_at, i.object_modified_at, i.object_id)
                  < (e.source_updated_at, e.object_modified_at, e.object_id) THEN 'late'
               WHEN %(repeats)s AND EXISTS (
                   SELECT FROM {versions} v
                   WHERE v.{id} = e.{id} AND v.object_id = i.object_id) THEN 'late'
               WHEN i.content_hash = e.content_hash THEN 'unchanged'
               -- After an attribute was added, the mapping computes another hash for the same content.
               WHEN e.mapping_version < i.mapping_version AND EXISTS (
                   SELECT FROM {table} s WHERE s.{id} = e.{id} AND ({s.state}) IS NOT DISTINCT FROM ({i.state}))
                   THEN 'unchanged'
               -- Two conditions, so that each can use its own index.
               WHEN EXISTS (
                   SELECT FROM {blocks} c
                   WHERE c.block = canonical.confirmation_block(e.{id}) AND c.object_id = i.object_id
                     AND e.{id} = ANY (c.{ids})) THEN 'late'
               WHEN EXISTS (
                   SELECT FROM {blocks} c
                   WHERE c.block = canonical.confirmation_block(e.{id}) AND c.latest_updated_at >= i.source_updated_at
                     AND EXISTS (
                         SELECT FROM unnest(c.{ids}, c.source_updated_ats) AS said ({id}, source_updated_at)
                         WHERE said.{id} = e.{id}
                           AND (said.source_updated_at, c.object_modified_at, c.object_id)
                             > (i.source_updated_at, i.object_modified_at, i.object_id))) THEN 'late'
               -- The mark of a snapshot may delete what this row brings back, or bring back what it deletes.
               WHEN i.source_updated_at <= %(marked_until)s AND (i.deleted OR e.deleted) THEN 'late'
               ELSE 'changed'
           END AS outcome
    FROM {incoming} i FULL JOIN stored e ON e.canonical_id = i.canonical_id
),
inserted AS (
    INSERT INTO {table} (
        canonical_id, source, version,
        {state}, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest)
    SELECT
        canonical_id, source, 1,
        {state}, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest
    FROM classified WHERE outcome = 'new'
),
changed AS (
    UPDATE {table} e SET
        version = e.version + 1, updated_at = now(),
        {state = c.state},
        source_updated_at = c.source_updated_at, object_modified_at = c.object_modified_at,
        object_id = c.object_id, ordinal = c.ordinal, content_hash = c.content_hash,
        quality_score = c.quality_score, mapping_version = c.mapping_version, record_digest = c.record_digest
    FROM classified c
    WHERE c.outcome = 'changed' AND e.{id} = c.{id}
    RETURNING new.source_updated_at AS valid_to, old.{id}, old.version,
        {old.state}, old.source_updated_at, old.object_modified_at, old.object_id, old.ordinal,
        old.content_hash, old.quality_score, old.mapping_version, old.record_digest
),
archived AS (
    INSERT INTO {versions} (
        {id}, version, valid_to,
        {state}, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest)
    SELECT
        {id}, version, valid_to,
        {state}, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest
    FROM changed
),
confirmed AS (
    INSERT INTO {blocks} (
        block, object_id, object_modified_at, source, mapping_version, latest_updated_at,
        {ids}, source_updated_ats, ordinals)
    SELECT
        canonical.confirmation_block({id}), object_id, object_modified_at, source, mapping_version,
        max(source_updated_at), array_agg({id}), array_agg(source_updated_at), array_agg(ordinal)
    FROM classified
    WHERE outcome = 'unchanged' AND NOT (%(repeats)s AND EXISTS (
        SELECT FROM {confirmations} c
        WHERE c.block = canonical.confirmation_block(classified.{id})
          AND (c.{id}, c.object_id, c.ordinal, c.source_updated_at, c.mapping_version)
            = (classified.{id}, classified.object_id, classified.ordinal, classified.source_updated_at,
               classified.mapping_version)))
    GROUP BY 1, 2, 3, 4, 5
),
refreshed AS (
    -- A newer mapping read the same content. With this digest and hash, probe and merge recognise the record the next time.
    -- Position and mapping version stay: they name the object that set the content, and the mapping that read it.
    UPDATE {table} e SET record_digest = c.record_digest, content_hash = c.content_hash
    FROM classified c
    WHERE c.outcome = 'unchanged' AND c.older_mapping AND e.{id} = c.{id}
      AND (e.record_digest, e.content_hash) <> (c.record_digest, c.content_hash)
),
late AS (
    INSERT INTO {late} (
        late, canonical_id, source,
        {state}, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest)
    SELECT
        late, canonical_id, source,
        {state}, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest
    FROM classified WHERE outcome = 'late' OR (outcome = 'new' AND source_updated_at <= %(marked_until)s)
)
SELECT object_id, outcome, count(*) AS rows, count(*) FILTER (WHERE deleted) AS deleted,
       bool_or(outcome = 'late' OR (outcome = 'new' AND source_updated_at <= %(marked_until)s)) IS TRUE AS late
FROM classified GROUP BY object_id, outcome
