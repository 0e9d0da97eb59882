-- Merges the incoming entities: inserts new ones, replaces older states (which go to entity_versions in the same statement)
-- and confirms unchanged ones. Rows that do not simply come after all that is known go to late_entities, for
-- place_late_entities.sql. Returns a row for each outcome: new, changed, unchanged, same, late.
-- Parameter: repeats, as in probe_entities.sql.
-- Nobody else writes this source meanwhile: the loader holds its lock.
WITH classified AS MATERIALIZED (
    SELECT i.*, e.entity_id,
           CASE
               WHEN i.late THEN 'late'
               WHEN e.entity_id IS NULL THEN 'new'
               WHEN e.object_id = i.object_id THEN CASE
                   WHEN (e.ordinal, e.source_updated_at, e.content_hash, e.mapping_version)
                      = (i.ordinal, i.source_updated_at, i.content_hash, i.mapping_version) THEN 'same'
                   ELSE 'late' END
               WHEN (i.source_updated_at, i.object_modified_at, i.object_id)
                  < (e.source_updated_at, e.object_modified_at, e.object_id) THEN 'late'
               WHEN %(repeats)s AND EXISTS (
                   SELECT FROM canonical.entity_versions v
                   WHERE v.entity_id = e.entity_id AND v.object_id = i.object_id) THEN 'late'
               WHEN i.content_hash = e.content_hash THEN 'unchanged'
               WHEN EXISTS (
                   SELECT FROM canonical.entity_confirmations c
                   WHERE c.entity_id = e.entity_id
                     AND (c.object_id = i.object_id
                          OR (c.source_updated_at, c.object_modified_at, c.object_id)
                           > (i.source_updated_at, i.object_modified_at, i.object_id))) THEN 'late'
               ELSE 'changed'
           END AS outcome
    FROM incoming_entities i
    LEFT JOIN LATERAL (
        -- OFFSET keeps this a look-up by index for each row, however few or many PostgreSQL takes the rows to be.
        SELECT e.* FROM canonical.entities e WHERE e.canonical_id = i.canonical_id OFFSET 0
    ) e ON true
),
inserted AS (
    INSERT INTO canonical.entities (
        canonical_id, source, version,
        entity_type, deleted, name, status, industry, region, country, customer_tier, revenue, employees,
        lifetime_value, total_spent, total_orders, attributes, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest)
    SELECT
        canonical_id, source, 1,
        entity_type, deleted, name, status, industry, region, country, customer_tier, revenue, employees,
        lifetime_value, total_spent, total_orders, attributes, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest
    FROM classified WHERE outcome = 'new'
),
changed AS (
    UPDATE canonical.entities e SET
        version = e.version + 1, updated_at = now(),
        entity_type = c.entity_type, deleted = c.deleted, name = c.name, status = c.status,
        industry = c.industry, region = c.region, country = c.country, customer_tier = c.customer_tier,
        revenue = c.revenue, employees = c.employees, lifetime_value = c.lifetime_value,
        total_spent = c.total_spent, total_orders = c.total_orders, attributes = c.attributes,
        source_updated_at = c.source_updated_at, object_modified_at = c.object_modified_at,
        object_id = c.object_id, ordinal = c.ordinal, content_hash = c.content_hash,
        quality_score = c.quality_score, mapping_version = c.mapping_version, record_digest = c.record_digest
    FROM classified c
    WHERE c.outcome = 'changed' AND e.entity_id = c.entity_id
    RETURNING new.source_updated_at AS valid_to, old.entity_id, old.version,
        old.entity_type, old.deleted, old.name, old.status, old.industry, old.region, old.country,
        old.customer_tier, old.revenue, old.employees, old.lifetime_value, old.total_spent, old.total_orders,
        old.attributes, old.source_updated_at, old.object_modified_at, old.object_id, old.ordinal,
        old.content_hash, old.quality_score, old.mapping_version, old.record_digest
),
archived AS (
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
    FROM changed
),
confirmed AS (
    INSERT INTO canonical.entity_confirmations AS c (
        entity_id, object_id, source_updated_at, object_modified_at, ordinal, mapping_version)
    SELECT entity_id, object_id, source_updated_at, object_modified_at, ordinal, mapping_version
    FROM classified WHERE outcome = 'unchanged'
    ON CONFLICT (entity_id, object_id) DO UPDATE
        SET source_updated_at = EXCLUDED.source_updated_at, ordinal = EXCLUDED.ordinal,
            mapping_version = EXCLUDED.mapping_version
        WHERE (EXCLUDED.mapping_version, EXCLUDED.source_updated_at, EXCLUDED.ordinal)
            > (c.mapping_version, c.source_updated_at, c.ordinal)
),
late AS (
    INSERT INTO late_entities (
        late, canonical_id, source,
        entity_type, deleted, name, status, industry, region, country, customer_tier, revenue, employees,
        lifetime_value, total_spent, total_orders, attributes, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest)
    SELECT
        late, canonical_id, source,
        entity_type, deleted, name, status, industry, region, country, customer_tier, revenue, employees,
        lifetime_value, total_spent, total_orders, attributes, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest
    FROM classified WHERE outcome = 'late'
)
SELECT object_id, outcome, count(*) AS rows, count(*) FILTER (WHERE deleted) AS deleted
FROM classified GROUP BY object_id, outcome
