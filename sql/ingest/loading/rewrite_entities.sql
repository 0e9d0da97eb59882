-- Makes the states what the timeline says; what is right stays as it is.
-- Returns how many states were written, with no object; and how many late rows of each object became current ones.
WITH removed AS (
    DELETE FROM canonical.entity_versions v
    WHERE v.entity_id = ANY ((SELECT array_agg(DISTINCT entity_id) FROM timeline)::bigint[]) AND NOT EXISTS (
        SELECT FROM timeline t
        WHERE t.begins AND t.entity_id = v.entity_id AND t.version = v.version
          AND (t.object_id, t.ordinal, t.content_hash, t.source_updated_at, t.mapping_version, t.valid_to)
            = (v.object_id, v.ordinal, v.content_hash, v.source_updated_at, v.mapping_version, v.valid_to))
    RETURNING 1
),
states AS NOT MATERIALIZED (   -- those to be written, with what they say, from where it is
    SELECT t.*,
        s.entity_type, s.deleted, s.name, s.status, s.industry, s.region, s.country, s.customer_tier, s.revenue,
        s.employees, s.lifetime_value, s.total_spent, s.total_orders, s.attributes, s.quality_score,
        s.record_digest
    FROM timeline t JOIN late_entities s USING (object_id, ordinal)
    WHERE t.begins AND t.origin = 0
    UNION ALL
    SELECT t.*, s.*
    FROM timeline t
    CROSS JOIN LATERAL (
        SELECT
            entity_type, deleted, name, status, industry, region, country, customer_tier, revenue, employees,
            lifetime_value, total_spent, total_orders, attributes, quality_score, record_digest
        FROM canonical.entities s WHERE s.entity_id = t.entity_id OFFSET 0
    ) s
    WHERE t.begins AND t.origin > 0 AND t.content_of IS NULL
      AND NOT (t.origin = 1 AND t.valid_to IS NULL)   -- which is and stays the current one
    UNION ALL
    SELECT t.*, s.*
    FROM timeline t
    CROSS JOIN LATERAL (
        SELECT
            entity_type, deleted, name, status, industry, region, country, customer_tier, revenue, employees,
            lifetime_value, total_spent, total_orders, attributes, quality_score, record_digest
        FROM canonical.entity_versions s WHERE (s.entity_id, s.version) = (t.entity_id, t.content_of) OFFSET 0
    ) s
    WHERE t.begins AND t.content_of IS NOT NULL AND NOT t.stands
),
versions AS (
    INSERT INTO canonical.entity_versions (
        entity_id, version, valid_to,
        entity_type, deleted, name, status, industry, region, country, customer_tier, revenue, employees,
        lifetime_value, total_spent, total_orders, attributes, quality_score, record_digest,
        source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash)
    SELECT
        entity_id, version, valid_to,
        entity_type, deleted, name, status, industry, region, country, customer_tier, revenue, employees,
        lifetime_value, total_spent, total_orders, attributes, quality_score, record_digest,
        source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash
    FROM states
    -- Counting them has all removed before the first is written, since the version of one is another's now.
    WHERE valid_to IS NOT NULL AND (SELECT count(*) FROM removed) >= 0
    ON CONFLICT (entity_id, version) DO NOTHING
    RETURNING 1
),
renumbered AS (
    UPDATE canonical.entities e SET version = t.version
    FROM timeline t
    WHERE t.begins AND t.origin = 1 AND t.content_of IS NULL AND t.valid_to IS NULL AND NOT t.stands
      AND e.entity_id = t.entity_id
    RETURNING 1
),
current AS (
    UPDATE canonical.entities e SET
        version = s.version,
        updated_at = CASE WHEN e.content_hash = s.content_hash THEN e.updated_at ELSE now() END,
        entity_type = s.entity_type, deleted = s.deleted, name = s.name, status = s.status,
        industry = s.industry, region = s.region, country = s.country, customer_tier = s.customer_tier,
        revenue = s.revenue, employees = s.employees, lifetime_value = s.lifetime_value,
        total_spent = s.total_spent, total_orders = s.total_orders, attributes = s.attributes,
        source_updated_at = s.source_updated_at, object_modified_at = s.object_modified_at,
        object_id = s.object_id, ordinal = s.ordinal, content_hash = s.content_hash,
        quality_score = s.quality_score, mapping_version = s.mapping_version, record_digest = s.record_digest
    FROM states s
    WHERE s.valid_to IS NULL AND e.entity_id = s.entity_id
      AND (e.version, e.object_id, e.ordinal, e.content_hash, e.source_updated_at, e.mapping_version)
       <> (s.version, s.object_id, s.ordinal, s.content_hash, s.source_updated_at, s.mapping_version)
    RETURNING new.object_id, new.ordinal, new.deleted, old.content_hash <> new.content_hash AS changed
)
SELECT NULL AS object_id,
    (SELECT count(*) FROM versions) + (SELECT count(*) FROM renumbered) + (SELECT count(*) FROM current) AS rows, 0 AS deleted
UNION ALL
SELECT c.object_id, count(*) AS rows, count(*) FILTER (WHERE c.deleted) AS deleted
FROM current c JOIN late_entities l USING (object_id, ordinal)
WHERE c.changed
GROUP BY c.object_id
