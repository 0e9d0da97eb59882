-- Makes states and confirmations what the timeline says, once rewrite_versions.sql has removed what was wrong.
-- Returns how many states were written, with no object; and how many late rows of each object became current ones.
-- Parameter: source.
WITH versions AS (
    INSERT INTO canonical.entity_versions (
        entity_id, version, valid_to,
        entity_type, deleted, name, status, industry, region, country, customer_tier, revenue, employees,
        lifetime_value, total_spent, total_orders, attributes, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest)
    SELECT
        entity_id, version, valid_to,
        entity_type, deleted, name, status, industry, region, country, customer_tier, revenue, employees,
        lifetime_value, total_spent, total_orders, attributes, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest
    FROM timeline WHERE begins AND valid_to IS NOT NULL
    ON CONFLICT (entity_id, version) DO NOTHING
    RETURNING 1
),
there AS (
    SELECT c.entity_id, b.object_id
    FROM canonical.entity_confirmation_blocks b CROSS JOIN LATERAL unnest(b.entity_ids) AS c (entity_id)
    WHERE b.block = ANY ((SELECT array_agg(DISTINCT canonical.confirmation_block(entity_id)) FROM timeline)::bigint[])
),
confirmations AS (
    INSERT INTO canonical.entity_confirmation_blocks (
        block, object_id, object_modified_at, source, mapping_version, latest_updated_at,
        entity_ids, source_updated_ats, ordinals)
    SELECT
        canonical.confirmation_block(entity_id), object_id, object_modified_at, %(source)s, mapping_version,
        max(source_updated_at), array_agg(entity_id), array_agg(source_updated_at), array_agg(ordinal)
    FROM timeline t
    WHERE NOT begins AND NOT EXISTS (SELECT FROM there c WHERE (c.entity_id, c.object_id) = (t.entity_id, t.object_id))
    GROUP BY 1, 2, 3, 4, 5
),
current AS (
    UPDATE canonical.entities e SET
        version = t.version,
        updated_at = CASE WHEN e.content_hash = t.content_hash THEN e.updated_at ELSE now() END,
        entity_type = t.entity_type, deleted = t.deleted, name = t.name, status = t.status,
        industry = t.industry, region = t.region, country = t.country, customer_tier = t.customer_tier,
        revenue = t.revenue, employees = t.employees, lifetime_value = t.lifetime_value,
        total_spent = t.total_spent, total_orders = t.total_orders, attributes = t.attributes,
        source_updated_at = t.source_updated_at, object_modified_at = t.object_modified_at,
        object_id = t.object_id, ordinal = t.ordinal, content_hash = t.content_hash,
        quality_score = t.quality_score, mapping_version = t.mapping_version, record_digest = t.record_digest
    FROM timeline t
    WHERE t.begins AND t.valid_to IS NULL AND e.entity_id = t.entity_id
      AND (e.version, e.object_id, e.ordinal, e.content_hash, e.source_updated_at, e.mapping_version)
       <> (t.version, t.object_id, t.ordinal, t.content_hash, t.source_updated_at, t.mapping_version)
    RETURNING new.object_id, new.ordinal, new.deleted, old.content_hash <> new.content_hash AS changed
)
SELECT NULL AS object_id, (SELECT count(*) FROM versions) + (SELECT count(*) FROM current) AS rows, 0 AS deleted
UNION ALL
SELECT c.object_id, count(*) AS rows, count(*) FILTER (WHERE c.deleted) AS deleted
FROM current c JOIN late_entities l USING (object_id, ordinal)
WHERE c.changed
GROUP BY c.object_id
