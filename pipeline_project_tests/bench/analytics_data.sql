-- The data of the analytics benchmark, at `scale` (1: a million entities of three systems and of two small ones, 200,000
-- relationships, twelve million points of three metrics over forty months). crm and erp share companies, a third of them with a slip
-- in the name; `small_a` and `small_b` (100,000 each) are the two systems that the integrity benchmark starts with.
--
-- Names are like those in a register of companies: one or two proper words and mostly a word for the trade. Words are as frequent
-- as their rank says (Zipf-Mandelbrot over 20,000 pronounceable ones), so that most names share words, and nearly all of their
-- trigrams, with thousands of others. About one name in twelve is not unique.
SET synchronous_commit = off;
SET work_mem = '256MB';
CREATE TEMPORARY TABLE bench_scale AS SELECT :scale::float AS scale;

CREATE TEMPORARY TABLE vocabulary AS
SELECT row_number() OVER (ORDER BY min(number))::int AS rank, initcap(word) AS word
FROM generate_series(1, 60000) AS number,
     LATERAL (
         SELECT string_agg(
                    split_part('b br c ch cl d dr f fl g gr h j k kr l m n p pr r s sh sl st t th tr v w', ' ', 1 + hash % 30)
                    || split_part('a e i o u a e i o ea ou ai', ' ', 1 + hash / 30 % 12)
                    || split_part('   l n r s t ck nd ng rt m x ll', ' ', 1 + hash / 360 % 15), '' ORDER BY syllable) AS word
         FROM generate_series(1, 1 + number % 10 / 3) AS syllable,
              LATERAL (SELECT hashint4(number * 8 + syllable) & 2147483647 AS hash) AS hashed
     ) AS spelled
WHERE length(word) BETWEEN 3 AND 12
GROUP BY word;

CREATE TEMPORARY TABLE companies AS
SELECT company, hash,
       concat_ws(' ', proper.word, further.word,
           CASE WHEN hash % 10 < 8 THEN split_part(
               'Services Group Trading Systems Holdings Solutions Consulting Construction International Partners '
               || 'Technologies Engineering Transport Properties Design Capital Logistics Energy Foods Data', ' ',
               1 + floor(20 * power(hash / 7 % 1000 / 1000.0, 1.5))::int) END) AS name
FROM (
    SELECT company, hash,
           -- The rank of a word out of an evenly spread number; names of a single one have the rarer words.
           floor(101 * power(20101 / 101.0, CASE WHEN hash / 29 % 10 < 8 THEN chance ELSE 1 - chance / 3 END) - 100)::int AS rank,
           CASE WHEN hash / 29 % 10 < 8 THEN floor(101 * power(20101 / 101.0, other_chance) - 100)::int END AS other_rank
    FROM bench_scale, generate_series(1, (1100000 * scale)::int) AS company,
         LATERAL (
             SELECT hashint4(company) & 2147483647 AS hash, (hashint8(company) & 65535) / 65536.0::float AS chance,
                    (hashint8(-company) >> 8 & 65535) / 65536.0::float AS other_chance
         ) AS hashed
) AS ranked
JOIN vocabulary proper ON proper.rank = ranked.rank
LEFT JOIN vocabulary further ON further.rank = ranked.other_rank;

INSERT INTO canonical.entities (
    canonical_id, source, entity_type, deleted, name, status, industry, region, country, customer_tier,
    revenue, employees, lifetime_value, total_spent, total_orders, attributes,
    source_updated_at, object_modified_at, object_id, ordinal, mapping_version, quality_score, content_hash, record_digest, version)
SELECT source || '_' || company, source, (ARRAY['customer', 'supplier', 'account'])[1 + hash % 3], false,
       CASE WHEN spelling = 1 AND company % 3 = 0
           THEN overlay(name PLACING substr('qxzwvk', 1 + company % 6, 1) FROM 2 + company % 9 FOR 1) ELSE name END
       || ' ' || (ARRAY['Inc', 'Ltd', 'GmbH', 'LLC'])[1 + (hash / 3 + spelling) % 4],
       (ARRAY['active', 'inactive', 'prospect'])[1 + hash / 11 % 3],
       CASE WHEN hash % 97 > 0 THEN 'industry ' || hash / 13 % 20 END,
       CASE WHEN hash % 89 > 0 THEN 'region ' || hash / 17 % 8 END,
       'C' || hash / 19 % 40, (ARRAY['gold', 'silver', 'bronze'])[1 + hash / 23 % 3],
       CASE WHEN hash % 53 > 0 THEN round((exp((hash % 12000) / 1000.0) * 100)::numeric, 2) + company % 100 END,
       hash % 5000, round(hash % 10000000 / 100.0, 2), round(hash % 5000000 / 100.0, 2), hash % 200,
       '{}', TIMESTAMPTZ '2024-01-01' + hash % 730 * INTERVAL '1 day', TIMESTAMPTZ '2026-01-01', 1, company, 1, 1,
       gen_random_uuid(), gen_random_uuid(), 1
FROM bench_scale
CROSS JOIN (VALUES ('crm', 0, 0, 300000), ('erp', 1, 150000, 400000), ('legacy', 0, 600000, 850000),
                   ('small_a', 0, 1000000, 1100000), ('small_b', 1, 1000000, 1100000))
    AS system (source, spelling, first, last)
JOIN companies ON company > (first * scale)::int AND company <= (last * scale)::int;

-- A tree in which each company has three below it, and partners across.
INSERT INTO canonical.entity_relationships (
    parent_canonical_id, child_canonical_id, relationship_type, valid_from, source, deleted, attributes,
    source_updated_at, object_modified_at, object_id, ordinal, content_hash)
SELECT 'crm_' || greatest(child / 3, 1), 'crm_' || child, 'subsidiary', DATE '2020-01-01', 'crm', false, '{}'::jsonb,
       TIMESTAMPTZ '2026-01-01', TIMESTAMPTZ '2026-01-01', 1, child, gen_random_uuid()
FROM bench_scale, generate_series(2, (180000 * scale)::int) AS child
UNION ALL
SELECT 'crm_' || number, 'erp_' || (150000 * scale)::int + number, 'partner', DATE '2020-01-01', 'crm', false, '{}',
       TIMESTAMPTZ '2026-01-01', TIMESTAMPTZ '2026-01-01', 1, number, gen_random_uuid()
FROM bench_scale, generate_series(1, (20000 * scale)::int) AS number;

SELECT canonical.ensure_month_partitions(ARRAY(
    SELECT (DATE '2023-01-01' + month * INTERVAL '1 month')::date FROM generate_series(0, 39) AS month));
INSERT INTO canonical.time_series_data (
    canonical_id, metric_type, metric_date, value, quality, tags, source, deleted,
    source_updated_at, object_modified_at, object_id, ordinal, content_hash)
SELECT 'crm_' || company, metric, (DATE '2023-01-01' + month * INTERVAL '1 month')::date,
       round((1000 * (1 + month * 0.01 + 0.2 * sin(month * pi() / 6)) * (0.5 + company % 1000 / 1000.0))::numeric, 2),
       1, '{}', 'crm', false, TIMESTAMPTZ '2026-01-01', TIMESTAMPTZ '2026-01-01', 1, company, md5(company::text)::uuid
FROM bench_scale, generate_series(0, 39) AS month, (VALUES ('orders'), ('revenue'), ('tickets')) AS m (metric),
     generate_series(1, (100000 * scale)::int) AS company;
VACUUM ANALYZE canonical.entities, canonical.entity_relationships, canonical.time_series_data;
