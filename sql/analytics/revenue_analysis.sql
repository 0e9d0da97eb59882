-- The entities with the greatest amounts in each segment.
--
-- Sorting a million rows to keep ten of each segment takes four seconds; finding them takes less than one. Rows fall by hash into 128
-- buckets a segment. Among the buckets' greatest amounts, the one in place `top_n` (at most 100) is a floor: at least `top_n`
-- rows reach it. Only rows that do are sorted; the result is exact, ties included, since all rows at the floor pass. A segment
-- with fewer buckets than `top_n` has hardly more rows than are shown, and no floor. The buckets are spelled as seven booleans,
-- since the planner knows how many values those have, and not of an expression over an id: it would sort instead of hash. (Each
-- has the id hashed anew: to compute that once would need a fence, behind which nothing is planned parallel.)
WITH measured AS NOT MATERIALIZED (
    SELECT CASE %(group_by)s::text
               WHEN 'industry' THEN industry
               WHEN 'region' THEN region
               WHEN 'country' THEN country
               WHEN 'customer_tier' THEN customer_tier
               WHEN 'status' THEN status
               WHEN 'source' THEN source
               WHEN 'entity_type' THEN entity_type
           END AS segment,
           canonical_id,
           name,
           CASE %(metric)s::text
               WHEN 'revenue' THEN revenue
               WHEN 'lifetime_value' THEN lifetime_value
               WHEN 'total_spent' THEN total_spent
           END AS amount
    FROM analytics.entities
),
buckets AS (
    SELECT segment, sum(amount) AS amount, count(*) AS entities, max(amount) AS greatest
    FROM (SELECT segment, amount, hashtextextended(canonical_id, 0) AS hash FROM measured WHERE amount IS NOT NULL) AS hashed
    GROUP BY segment, hash & 1 = 0, hash & 2 = 0, hash & 4 = 0, hash & 8 = 0,
             hash & 16 = 0, hash & 32 = 0, hash & 64 = 0
),
totals AS MATERIALIZED (
    SELECT segment,
           sum(amount) AS segment_total,
           sum(entities)::bigint AS segment_entities,
           rank() OVER (ORDER BY sum(amount) DESC) AS segment_rank,
           coalesce((array_agg(greatest ORDER BY greatest DESC))[%(top_n)s::int], '-Infinity') AS floor
    FROM buckets
    GROUP BY segment
),
ranked AS (
    SELECT measured.segment, totals.segment_rank, totals.segment_entities, totals.segment_total,
           measured.canonical_id, measured.name, measured.amount,
           rank() OVER (PARTITION BY measured.segment ORDER BY measured.amount DESC) AS rank,
           row_number() OVER (PARTITION BY measured.segment ORDER BY measured.amount DESC, measured.canonical_id) AS place
    FROM measured
    JOIN totals
        -- Equal or both null, in a form that can be hashed.
        ON coalesce(totals.segment, '') = coalesce(measured.segment, '')
        AND (totals.segment IS NULL) = (measured.segment IS NULL)
    WHERE measured.amount >= totals.floor
        -- Most rows reach no segment's floor: they are left out before the join.
        AND measured.amount >= (SELECT min(floor) FROM totals)
)
SELECT segment, segment_rank, segment_entities, segment_total, rank, canonical_id, name, amount,
       round(amount / nullif(segment_total, 0), 6) AS share,
       round(sum(amount) OVER (PARTITION BY segment ORDER BY place) / nullif(segment_total, 0), 6) AS running_share
FROM ranked
WHERE place <= %(top_n)s::int
ORDER BY segment_rank, segment NULLS LAST, place
