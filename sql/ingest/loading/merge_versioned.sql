-- Merges the incoming entities: inserts new ones, replaces older states (which go to entity_versions in the same statement)
-- and confirms unchanged ones. An unchanged row that an older mapping read gets the digest of its newest record.
-- Rows that do not simply come after all that is known go to the late rows, for place_late_versioned.sql.
-- Returns a row for each outcome: new, changed, unchanged, same, late.
-- Parameter: repeats, as in probe_versioned.sql.
-- Nobody else writes this source meanwhile: the loader holds its lock.
WITH stored AS (
    -- One walk through the index for all of them, as in probe_versioned.sql; and joined as there.
    SELECT
        canonical_id, {id}, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash
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
               -- Asked for apart, so that each can go by its index.
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
    -- A newer mapping read the same state. With the digest of this record, the probe knows the record when it comes again.
    -- The position and the mapping version stay: they say which object set the state, and how that object was read.
    UPDATE {table} e SET record_digest = c.record_digest
    FROM classified c
    WHERE c.outcome = 'unchanged' AND c.older_mapping AND e.{id} = c.{id} AND e.record_digest <> c.record_digest
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
    FROM classified WHERE outcome = 'late'
)
SELECT object_id, outcome, count(*) AS rows, count(*) FILTER (WHERE deleted) AS deleted
FROM classified GROUP BY object_id, outcome
