-- Revenue rolled up from everything over the periods into up to three dimensions, in the order given. `level` says how many
-- of them a row is broken down by (0 all, 1 period, 2 and its first dimension, …): a null below that is a missing value and
-- beyond it a subtotal.
WITH base AS (
    SELECT (date_trunc(%(timeframe)s::text, source_updated_at, 'UTC') AT TIME ZONE 'UTC')::date AS period,
           CASE (%(dimensions)s::text[])[1]
               WHEN 'type' THEN entity_type WHEN 'industry' THEN industry WHEN 'region' THEN region END AS first,
           CASE (%(dimensions)s::text[])[2]
               WHEN 'type' THEN entity_type WHEN 'industry' THEN industry WHEN 'region' THEN region END AS second,
           CASE (%(dimensions)s::text[])[3]
               WHEN 'type' THEN entity_type WHEN 'industry' THEN industry WHEN 'region' THEN region END AS third,
           revenue
    FROM analytics.entities
),
rolled AS (
    SELECT 4 - bit_count(grouping(period, first, second, third)::bit(4)) AS level,
           period, first, second, third,
           count(*) AS entities,
           sum(revenue) AS revenue,
           avg(revenue) AS mean,
           -- The two middle values: see customer_analysis.
           percentile_disc(ARRAY[0.5, 0.500000001, 0.9]) WITHIN GROUP (ORDER BY revenue) AS percentiles
    FROM base
    GROUP BY ROLLUP (period, first, second, third)
    -- Without input there are no totals either; with fewer dimensions the deeper levels only repeat.
    HAVING count(*) > 0
       AND 4 - bit_count(grouping(period, first, second, third)::bit(4)) <= 1 + cardinality(%(dimensions)s::text[])
),
compared AS (
    SELECT *,
           lag(revenue) OVER siblings AS earlier_revenue,
           lag(period) OVER siblings AS earlier_period,
           CASE level
               WHEN 0 THEN revenue
               WHEN 1 THEN max(revenue) FILTER (WHERE level = 0) OVER ()
               ELSE max(revenue) FILTER (WHERE level = 1) OVER (PARTITION BY period)
           END AS whole,
           -- What comes before a row when its level is ordered by revenue; equals do not count.
           sum(revenue) OVER (
               PARTITION BY level, CASE WHEN level > 1 THEN period END ORDER BY revenue DESC NULLS LAST
               RANGE UNBOUNDED PRECEDING EXCLUDE GROUP) AS greater
    FROM rolled
    WINDOW siblings AS (PARTITION BY level, first, second, third ORDER BY period)
)
SELECT level, period,
       CASE 'type' WHEN (%(dimensions)s::text[])[1] THEN first WHEN (%(dimensions)s::text[])[2] THEN second
           WHEN (%(dimensions)s::text[])[3] THEN third END AS entity_type,
       CASE 'industry' WHEN (%(dimensions)s::text[])[1] THEN first WHEN (%(dimensions)s::text[])[2] THEN second
           WHEN (%(dimensions)s::text[])[3] THEN third END AS industry,
       CASE 'region' WHEN (%(dimensions)s::text[])[1] THEN first WHEN (%(dimensions)s::text[])[2] THEN second
           WHEN (%(dimensions)s::text[])[3] THEN third END AS region,
       entities, revenue,
       round(mean, 6) AS mean,
       (percentiles[1] + percentiles[2]) * 0.5 AS median,
       percentiles[3] AS percentile_90,
       -- Against the period before and no earlier one: a gap has no growth.
       CASE WHEN earlier_period = (period - CASE %(timeframe)s::text
               WHEN 'week' THEN INTERVAL '1 week' WHEN 'month' THEN INTERVAL '1 month'
               WHEN 'quarter' THEN INTERVAL '3 months' WHEN 'year' THEN INTERVAL '1 year' END)::date
           THEN round((revenue - earlier_revenue) / nullif(earlier_revenue, 0), 6) END AS growth,
       round(revenue / nullif(whole, 0), 6) AS share,
       CASE WHEN level < 2 OR revenue IS NULL OR coalesce(whole, 0) = 0 THEN NULL
            WHEN coalesce(greater, 0) < 0.8 * whole THEN 'A'
            WHEN greater < 0.95 * whole THEN 'B'
            ELSE 'C' END AS tier
FROM compared
ORDER BY level, period, first NULLS LAST, second NULLS LAST, third NULLS LAST
