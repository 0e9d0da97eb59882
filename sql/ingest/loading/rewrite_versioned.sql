-- Writes the versions of the timelines. Versions that are right stay as they are. Reads: timeline, late rows.
-- Returns one row without an object and with the number of written versions. For each object, it returns the number of late rows
-- that became the current version and changed its content.
WITH removed AS (
    DELETE FROM {versions} v
    WHERE v.{id} = ANY ((SELECT array_agg(DISTINCT {id}) FROM {timeline})::bigint[]) AND NOT EXISTS (
        SELECT FROM {timeline} t
        WHERE t.begins AND t.{id} = v.{id} AND t.version = v.version
          AND (t.object_id, t.ordinal, t.content_hash, t.source_updated_at, t.mapping_version, t.valid_to)
            = (v.object_id, v.ordinal, v.content_hash, v.source_updated_at, v.mapping_version, v.valid_to))
    RETURNING 1
),
states AS NOT MATERIALIZED (   -- versions to write, with their content from the place where it is stored
    SELECT t.*,
        {marked.state}, s.quality_score,
        CASE WHEN t.absent THEN md5(s.record_digest::text)::uuid ELSE s.record_digest END AS record_digest
    FROM {timeline} t JOIN {late} s ON (s.object_id, s.ordinal) = (t.late_object_id, t.late_ordinal)
    WHERE t.begins
    UNION ALL
    SELECT t.*, s.*
    FROM {timeline} t
    CROSS JOIN LATERAL (
        SELECT
            {marked.state}, quality_score,
            CASE WHEN t.absent THEN md5(record_digest::text)::uuid ELSE record_digest END AS record_digest
        FROM {table} s WHERE s.{id} = t.{id} OFFSET 0
    ) s
    WHERE t.begins AND t.origin > 0 AND t.content_of IS NULL AND t.late_object_id IS NULL
      AND NOT (t.origin = 1 AND t.valid_to IS NULL)   -- this one is the current version and stays it
    UNION ALL
    SELECT t.*, s.*
    FROM {timeline} t
    CROSS JOIN LATERAL (
        SELECT
            {marked.state}, quality_score,
            CASE WHEN t.absent THEN md5(record_digest::text)::uuid ELSE record_digest END AS record_digest
        FROM {versions} s WHERE (s.{id}, s.version) = (t.{id}, t.content_of) OFFSET 0
    ) s
    WHERE t.begins AND t.content_of IS NOT NULL AND NOT t.is_stored
),
versions AS (
    INSERT INTO {versions} (
        {id}, version, valid_to,
        {state}, quality_score, record_digest,
        source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash)
    SELECT
        {id}, version, valid_to,
        {state}, quality_score, record_digest,
        source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash
    FROM states
    -- The count makes PostgreSQL delete all rows before it inserts one: a version number may now belong to another row.
    WHERE valid_to IS NOT NULL AND (SELECT count(*) FROM removed) >= 0
    ON CONFLICT ({id}, version) DO NOTHING
    RETURNING 1
),
renumbered AS (
    UPDATE {table} e SET version = t.version
    FROM {timeline} t
    WHERE t.begins AND t.origin = 1 AND t.content_of IS NULL AND t.valid_to IS NULL AND NOT t.is_stored
      AND e.{id} = t.{id}
    RETURNING 1
),
current AS (
    UPDATE {table} e SET
        version = s.version,
        updated_at = CASE
            WHEN e.content_hash = s.content_hash THEN e.updated_at
            WHEN e.mapping_version <> s.mapping_version AND ({e.state}) IS NOT DISTINCT FROM ({s.state})
                THEN e.updated_at
            ELSE now() END,
        {state = s.state},
        source_updated_at = s.source_updated_at, object_modified_at = s.object_modified_at,
        object_id = s.object_id, ordinal = s.ordinal, content_hash = s.content_hash,
        quality_score = s.quality_score, mapping_version = s.mapping_version, record_digest = s.record_digest
    FROM states s
    WHERE s.valid_to IS NULL AND e.{id} = s.{id}
      AND (e.version, e.object_id, e.ordinal, e.content_hash, e.source_updated_at, e.mapping_version)
       <> (s.version, s.object_id, s.ordinal, s.content_hash, s.source_updated_at, s.mapping_version)
    RETURNING new.object_id, new.ordinal, new.deleted,
        old.content_hash <> new.content_hash
        AND (old.mapping_version = new.mapping_version OR ({old.state}) IS DISTINCT FROM ({new.state})) AS changed
)
SELECT NULL AS object_id,
    (SELECT count(*) FROM versions) + (SELECT count(*) FROM renumbered) + (SELECT count(*) FROM current) AS rows, 0 AS deleted
UNION ALL
SELECT c.object_id, count(*) AS rows, count(*) FILTER (WHERE c.deleted) AS deleted
FROM current c JOIN {late} l USING (object_id, ordinal)
WHERE c.changed
GROUP BY c.object_id
