-- Makes the versions of the touched entities again: from the last version before the first touched position on, each version
-- is the fold of the patches up to its position. What is right already stays as it is.
--
-- A state that breaks a rule of the dataset is no version: until another patch completes the state, the entity stays as it was.
-- Of the states at one time of one object, only the last counts. A life begins with the first patch, with a whole patch, and
-- with the first patch after a tombstone that is no tombstone. It keeps nothing of the life before. If a replay leaves no
-- version at all, the stored ones stay.
--
-- Returns the outcomes of the staged records by object: new, changed, unchanged, same, stale. A row without an object has the
-- number of versions that were written.
-- Parameters: source; attribute_fields, the fields of the model that have no column; fields, how many the model has.
-- The loader holds the lock of the source and dataset.
WITH first AS (
    SELECT DISTINCT ON (canonical_id) canonical_id, least(source_updated_at, replaced_updated_at) AS source_updated_at,
        object_modified_at, object_id
    FROM {touched} ORDER BY canonical_id, 2, 3, 4
),
stored AS (
    -- One walk through the index for all of them, as in probe_versioned.sql.
    SELECT {id}, canonical_id, version, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
        record_digest, {state}
    FROM {table}
    WHERE canonical_id = ANY ((SELECT array_agg(canonical_id) FROM first)::text[]) OFFSET 0
),
start AS (   -- the version that nothing before can change
    SELECT e.{id}, e.canonical_id, s.*
    FROM first f
    JOIN stored e USING (canonical_id)
    CROSS JOIN LATERAL (
        SELECT e.version, e.source_updated_at, e.object_modified_at, e.object_id, e.ordinal, e.mapping_version,
            e.record_digest, {e.state}
        WHERE (e.source_updated_at, e.object_modified_at, e.object_id) < (f.source_updated_at, f.object_modified_at, f.object_id)
        UNION ALL (
            SELECT s.version, s.source_updated_at, s.object_modified_at, s.object_id, s.ordinal, s.mapping_version,
                s.record_digest, {s.state}
            FROM {versions} s
            WHERE s.{id} = e.{id}
              AND (e.source_updated_at, e.object_modified_at, e.object_id)
               >= (f.source_updated_at, f.object_modified_at, f.object_id)
              AND (s.source_updated_at, s.object_modified_at, s.object_id)
                < (f.source_updated_at, f.object_modified_at, f.object_id)
            ORDER BY s.version DESC LIMIT 1)
    ) s
),
patches AS (
    SELECT canonical_id, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, record_digest, deleted,
        true AS whole, content - ARRAY['deleted', '{rest}'] AS fields, content -> '{rest}' AS attributes, NULL AS base
    FROM start s CROSS JOIN LATERAL (SELECT to_jsonb(c) AS content FROM (SELECT {s.state}) c OFFSET 0) c
    UNION ALL
    SELECT f.canonical_id, p.*
    FROM first f
    LEFT JOIN start s USING (canonical_id)
    CROSS JOIN LATERAL (
        SELECT p.source_updated_at, p.object_modified_at, p.object_id, p.ordinal, p.mapping_version, p.record_digest,
            p.deleted, p.whole, p.fields, p.attributes, p.base
        FROM ingest.patches p
        WHERE p.source = %(source)s AND p.dataset = '{dataset}' AND p.record_key = f.canonical_id
          AND (s.canonical_id IS NULL
               OR (p.source_updated_at, p.object_modified_at, p.object_id, p.ordinal)
                > (s.source_updated_at, s.object_modified_at, s.object_id, s.ordinal))
        OFFSET 0
    ) p
),
lives AS (
    SELECT *, count(*) FILTER (WHERE begins_life) OVER in_order AS life
    FROM (
        SELECT *,
            whole OR (NOT deleted AND lag(deleted) OVER in_order) OR lag(object_id) OVER in_order IS NULL AS begins_life
        FROM patches
        WINDOW in_order AS (PARTITION BY canonical_id ORDER BY source_updated_at, object_modified_at, object_id, ordinal)
    ) p
    WINDOW in_order AS (PARTITION BY canonical_id ORDER BY source_updated_at, object_modified_at, object_id, ordinal)
),
merged AS (
    SELECT canonical_id, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, record_digest, deleted,
        ingest.merged(CASE WHEN begins_life AND base IS NOT NULL THEN base || fields ELSE fields END) OVER in_order AS fields,
        ingest.merged(attributes) OVER in_order AS attributes
    FROM lives
    WINDOW in_order AS (PARTITION BY canonical_id, life ORDER BY source_updated_at, object_modified_at, object_id, ordinal)
),
states AS (
    SELECT *,
        encode(substr(sha256(convert_to(ROW({state})::text, 'UTF8')), 1, 16), 'hex')::uuid AS content_hash,
        round((num_nonnulls({valued}) + present + 1)::numeric / %(fields)s, 2)::real AS quality_score
    FROM (
        SELECT m.canonical_id, m.source_updated_at, m.object_modified_at, m.object_id, m.ordinal, m.mapping_version,
            m.record_digest, a.present, {s.state}
        FROM merged m
        CROSS JOIN LATERAL (
            SELECT coalesce(jsonb_object_agg(key, value), jsonb_build_object()) AS attributes,
                count(*) FILTER (WHERE key = ANY (%(attribute_fields)s)) AS present
            FROM jsonb_each(m.attributes) WHERE value <> 'null'
        ) a
        CROSS JOIN LATERAL jsonb_populate_record(
            NULL::{table}, m.fields || jsonb_build_object('deleted', m.deleted, '{rest}', a.attributes)) s
    ) s
    WHERE {complete}
),
last_states AS (
    SELECT *
    FROM (
        SELECT *, (lead(source_updated_at) OVER in_order, lead(object_id) OVER in_order)
            IS DISTINCT FROM (source_updated_at, object_id) AS counts
        FROM states
        WINDOW in_order AS (PARTITION BY canonical_id ORDER BY source_updated_at, object_modified_at, object_id, ordinal)
    ) s
    WHERE counts
),
numbered AS (
    SELECT *, coalesce(first_version, 1) + row_number() OVER in_order - 1 AS version,
        lead(source_updated_at) OVER in_order AS valid_to
    FROM (
        SELECT s.*, e.{id}, t.version AS first_version,
            s.content_hash IS DISTINCT FROM lag(s.content_hash) OVER (
                PARTITION BY canonical_id ORDER BY s.source_updated_at, s.object_modified_at, s.object_id) AS begins
        FROM last_states s LEFT JOIN stored e USING (canonical_id) LEFT JOIN start t USING (canonical_id)
    ) s
    WHERE begins
    WINDOW in_order AS (PARTITION BY canonical_id ORDER BY source_updated_at, object_modified_at, object_id)
),
inserted AS (
    INSERT INTO {table} (
        canonical_id, source, version,
        {state}, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest)
    SELECT
        canonical_id, %(source)s, version,
        {state}, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest
    FROM numbered WHERE {id} IS NULL AND valid_to IS NULL
    RETURNING {id}, canonical_id
),
removed AS (
    DELETE FROM {versions} v
    USING (SELECT {id}, min(version) AS version FROM numbered WHERE {id} IS NOT NULL GROUP BY 1) f
    WHERE v.{id} = f.{id} AND v.version >= f.version AND NOT EXISTS (
        SELECT FROM numbered n
        WHERE n.{id} = v.{id} AND n.version = v.version
          AND (n.object_id, n.ordinal, n.content_hash, n.source_updated_at, n.mapping_version, n.valid_to)
            = (v.object_id, v.ordinal, v.content_hash, v.source_updated_at, v.mapping_version, v.valid_to))
    RETURNING 1
),
archived AS (
    INSERT INTO {versions} (
        {id}, version, valid_to,
        {state}, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest)
    SELECT
        coalesce(n.{id}, i.{id}), version, valid_to,
        {state}, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest
    FROM numbered n LEFT JOIN inserted i USING (canonical_id)
    -- Counting them has all removed before the first is written, since the version of one is another's now.
    WHERE valid_to IS NOT NULL AND (SELECT count(*) FROM removed) >= 0
    ON CONFLICT ({id}, version) DO NOTHING
    RETURNING 1
),
updated AS (
    UPDATE {table} e SET
        version = c.version,
        updated_at = CASE WHEN ({e.state}) IS NOT DISTINCT FROM ({c.state}) THEN e.updated_at ELSE now() END,
        {state = c.state},
        source_updated_at = c.source_updated_at, object_modified_at = c.object_modified_at,
        object_id = c.object_id, ordinal = c.ordinal, content_hash = c.content_hash,
        quality_score = c.quality_score, mapping_version = c.mapping_version, record_digest = c.record_digest
    FROM numbered c
    WHERE c.valid_to IS NULL AND e.{id} = c.{id}
      AND (e.version, e.object_id, e.ordinal, e.content_hash, e.source_updated_at, e.mapping_version)
       <> (c.version, c.object_id, c.ordinal, c.content_hash, c.source_updated_at, c.mapping_version)
    RETURNING e.canonical_id, ({old.state}) IS DISTINCT FROM ({new.state}) AS changed
),
outcomes AS (
    SELECT s.object_id, s.deleted, CASE
            WHEN t.canonical_id IS NULL THEN 'same'
            WHEN nth = 1 AND i.canonical_id IS NOT NULL THEN 'new'
            WHEN nth = 1 AND u.changed THEN 'changed'
            WHEN (s.source_updated_at, s.object_modified_at, s.object_id)
               < (e.source_updated_at, e.object_modified_at, e.object_id) THEN 'stale'
            WHEN EXISTS (
                SELECT FROM numbered n
                WHERE (n.canonical_id, n.object_id, n.ordinal) = (s.canonical_id, s.object_id, s.ordinal)) THEN 'changed'
            ELSE 'unchanged' END AS outcome
    FROM {sent} s
    LEFT JOIN (
        SELECT canonical_id, object_id, ordinal, row_number() OVER (
            PARTITION BY canonical_id ORDER BY source_updated_at DESC, object_modified_at DESC, object_id DESC, ordinal DESC) AS nth
        FROM {touched}
    ) t USING (canonical_id, object_id, ordinal)
    LEFT JOIN stored e USING (canonical_id)
    LEFT JOIN inserted i USING (canonical_id)
    LEFT JOIN updated u USING (canonical_id)
)
SELECT NULL AS object_id, 'changed' AS outcome,
    (SELECT count(*) FROM archived) + (SELECT count(*) FROM removed) + (SELECT count(*) FROM updated WHERE changed) AS rows,
    0 AS deleted
UNION ALL
SELECT object_id, outcome, count(*), count(*) FILTER (WHERE deleted) FROM outcomes GROUP BY 1, 2
