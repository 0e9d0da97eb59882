-- migrate:up

-- All that analytics and people's own queries may see. Views run with their owner's rights: the reader has none below.

CREATE VIEW analytics.entities AS
    SELECT canonical_id, source, source_id, entity_type, name, status, industry, region, country, customer_tier,
           revenue, employees, lifetime_value, total_spent, total_orders, attributes,
           jsonb_build_object(
               'object_id', object_id, 'ordinal', ordinal, 'source_id', source_id,
               'mapping_version', mapping_version, 'quality_score', quality_score) AS metadata,
           quality_score, version, source_updated_at, created_at, updated_at
    FROM canonical.entities
    WHERE NOT deleted;

CREATE VIEW analytics.entity_versions AS
    SELECT e.canonical_id, e.source, v.version, v.deleted, v.entity_type, v.name, v.status, v.industry, v.region, v.country,
           v.customer_tier, v.revenue, v.employees, v.lifetime_value, v.total_spent, v.total_orders, v.attributes,
           v.source_updated_at AS valid_from, v.valid_to, v.recorded_at
    FROM canonical.entity_versions v JOIN canonical.entities e USING (entity_id);

-- A relationship counts while both of its ends are there.
CREATE VIEW analytics.entity_relationships AS
    SELECT r.parent_canonical_id, r.child_canonical_id, r.relationship_type, r.valid_from, r.valid_to, r.source, r.attributes
    FROM canonical.entity_relationships r
    JOIN canonical.entities p ON p.canonical_id = r.parent_canonical_id AND NOT p.deleted
    JOIN canonical.entities c ON c.canonical_id = r.child_canonical_id AND NOT c.deleted
    WHERE NOT r.deleted;

CREATE VIEW analytics.time_series_data AS
    SELECT canonical_id, metric_type, metric_date, value, quality, tags, source
    FROM canonical.time_series_data
    WHERE NOT deleted;

-- migrate:down
