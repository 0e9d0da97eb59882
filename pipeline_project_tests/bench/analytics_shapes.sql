-- Data that is small and awkward, `entities` of them: each has an industry of its own, so that there are as many groups, and three
-- relationships to any others, so that the network is full of cycles and everything lies below everything.
CREATE TEMPORARY TABLE bench_numbers AS
SELECT number, hashint8extended(number, 0) AS hash FROM generate_series(0, :entities - 1) AS number;

INSERT INTO canonical.entities (
    canonical_id, source, entity_type, deleted, name, industry, region, revenue, attributes,
    source_updated_at, object_modified_at, object_id, ordinal, mapping_version, quality_score, content_hash, record_digest, version)
SELECT 'crm_' || number, 'crm', 'customer', false, 'Company ' || number, 'industry ' || number, 'region ' || number % 4,
       hash & 65535, '{}', TIMESTAMPTZ '2026-01-01', TIMESTAMPTZ '2026-01-01', 1, number, 1, 1,
       gen_random_uuid(), gen_random_uuid(), 1
FROM bench_numbers;

INSERT INTO canonical.entity_relationships (
    parent_canonical_id, child_canonical_id, relationship_type, valid_from, source, deleted, attributes,
    source_updated_at, object_modified_at, object_id, ordinal, content_hash)
SELECT 'crm_' || number, 'crm_' || (hash >> 20 * nth & 1048575) % :entities, 'partner ' || nth, DATE '2020-01-01', 'crm', false,
       '{}', TIMESTAMPTZ '2026-01-01', TIMESTAMPTZ '2026-01-01', 1, 3 * number + nth, gen_random_uuid()
FROM bench_numbers, generate_series(0, 2) AS nth;
VACUUM ANALYZE canonical.entities, canonical.entity_relationships;
