-- Recomputes the timeline of each entity that late rows speak of, as if all its rows had come in their right order.
--
-- All that was ever said of an entity is its states (current and earlier), their confirmations and the late rows. Of one
-- object, the greatest (source_updated_at, ordinal) counts, among those that the newest mapping read: a replay after a
-- mapping was changed replaces what the object said before. In the order of their positions, a row that differs from the
-- one before begins a state; the others confirm it.
INSERT INTO timeline (
    entity_id, begins, version, valid_to, source_updated_at, object_modified_at, object_id, ordinal, content_hash,
    entity_type, deleted, name, status, industry, region, country, customer_tier, revenue, employees,
    lifetime_value, total_spent, total_orders, attributes, quality_score, mapping_version, record_digest)
WITH stored AS (
    -- One walk through the index, as in probe_entities.sql; and joined as there.
    SELECT e.* FROM canonical.entities e
    WHERE e.canonical_id = ANY ((SELECT array_agg(canonical_id) FROM late_entities)::text[]) OFFSET 0
),
late AS (
    SELECT e.entity_id, 0 AS preference,
        l.entity_type, l.deleted, l.name, l.status, l.industry, l.region, l.country, l.customer_tier, l.revenue,
        l.employees, l.lifetime_value, l.total_spent, l.total_orders, l.attributes, l.source_updated_at,
        l.object_modified_at, l.object_id, l.ordinal, l.content_hash, l.quality_score, l.mapping_version,
        l.record_digest
    FROM late_entities l FULL JOIN stored e ON e.canonical_id = l.canonical_id
),
touched AS (
    SELECT DISTINCT entity_id FROM late
),
states AS (
    SELECT entity_id, 1 AS preference,
        entity_type, deleted, name, status, industry, region, country, customer_tier, revenue, employees,
        lifetime_value, total_spent, total_orders, attributes, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest
    FROM stored
    UNION ALL
    SELECT entity_id, 1 AS preference,
        entity_type, deleted, name, status, industry, region, country, customer_tier, revenue, employees,
        lifetime_value, total_spent, total_orders, attributes, source_updated_at, object_modified_at, object_id,
        ordinal, content_hash, quality_score, mapping_version, record_digest
    FROM canonical.entity_versions
    WHERE entity_id = ANY ((SELECT array_agg(entity_id) FROM touched)::bigint[])
),
contents AS (   -- what each content hash of an entity stands for
    SELECT DISTINCT ON (entity_id, content_hash) *
    FROM (SELECT * FROM states UNION ALL SELECT * FROM late) s
    ORDER BY entity_id, content_hash, mapping_version DESC, source_updated_at, object_modified_at, object_id
),
in_order AS (   -- each confirmation behind the state that it confirmed
    SELECT *, count(content_hash) OVER (
        PARTITION BY entity_id ORDER BY source_updated_at, object_modified_at, object_id, preference) AS nth_state
    FROM (
        SELECT entity_id, preference, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash
        FROM states
        UNION ALL
        SELECT entity_id, 2, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, NULL
        FROM canonical.entity_confirmations JOIN touched USING (entity_id)
        WHERE block = ANY ((SELECT array_agg(DISTINCT canonical.confirmation_block(entity_id)) FROM touched)::bigint[])
    ) s
),
said AS (
    SELECT entity_id, preference, source_updated_at, object_modified_at, object_id, ordinal, mapping_version,
           first_value(content_hash) OVER (PARTITION BY entity_id, nth_state ORDER BY preference) AS content_hash
    FROM in_order WHERE nth_state > 0
    UNION ALL
    SELECT entity_id, preference, source_updated_at, object_modified_at, object_id, ordinal, mapping_version, content_hash
    FROM late
),
once AS (
    SELECT DISTINCT ON (entity_id, object_id) *
    FROM said ORDER BY entity_id, object_id, mapping_version DESC, source_updated_at DESC, ordinal DESC, preference
),
compared AS (
    SELECT *, content_hash IS DISTINCT FROM lag(content_hash) OVER in_order AS begins
    FROM once
    WINDOW in_order AS (PARTITION BY entity_id ORDER BY source_updated_at, object_modified_at, object_id)
),
numbered AS (
    SELECT *, count(*) FILTER (WHERE begins) OVER in_order AS version
    FROM compared
    WINDOW in_order AS (PARTITION BY entity_id ORDER BY source_updated_at, object_modified_at, object_id)
),
valid AS (
    SELECT *, lead(source_updated_at) OVER (PARTITION BY entity_id, begins ORDER BY version) AS valid_to FROM numbered
)
SELECT v.entity_id, v.begins, v.version, v.valid_to,
    v.source_updated_at, v.object_modified_at, v.object_id, v.ordinal, v.content_hash,
    s.entity_type, s.deleted, s.name, s.status, s.industry, s.region, s.country, s.customer_tier, s.revenue,
    s.employees, s.lifetime_value, s.total_spent, s.total_orders, s.attributes, s.quality_score,
    v.mapping_version, s.record_digest
FROM valid v LEFT JOIN contents s ON v.begins AND (s.entity_id, s.content_hash) = (v.entity_id, v.content_hash)
