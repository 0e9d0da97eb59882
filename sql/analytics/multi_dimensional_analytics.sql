-- Revenue by period and up to three dimensions, with subtotals: rolled up in the order given, or of every combination of them.
-- `grouped_by` says what a row is broken down by: a null in such a column is a missing value, in another a subtotal. Of the two
-- branches of `totals` only the one asked for runs: the other's condition is false before the plan is made.
WITH base AS NOT MATERIALIZED (
    SELECT date_trunc(%(timeframe)s::text, source_updated_at AT TIME ZONE 'UTC')::date AS period,
           CASE (%(dimensions)s::text[])[1]
               WHEN 'type' THEN entity_type WHEN 'industry' THEN industry WHEN 'region' THEN region END AS first,
           CASE (%(dimensions)s::text[])[2]
               WHEN 'type' THEN entity_type WHEN 'industry' THEN industry WHEN 'region' THEN region END AS second,
           CASE (%(dimensions)s::text[])[3]
               WHEN 'type' THEN entity_type WHEN 'industry' THEN industry WHEN 'region' THEN region END AS third,
           revenue
    FROM analytics.entities
),
totals AS (
    SELECT grouping(period, first, second, third) AS subtotal,
           period, first, second, third,
           count(*) AS entities,
           sum(revenue) AS revenue,
           avg(revenue) AS mean,
           -- The two middle values: see customer_analysis.
           percentile_disc(ARRAY[0.5, 0.500000001, 0.9]) WITHIN GROUP (ORDER BY revenue) AS percentiles
    FROM base
    WHERE %(subtotals)s::text = 'rollup'
    GROUP BY ROLLUP (period, first, second, third)
    UNION ALL
    SELECT grouping(period, first, second, third), period, first, second, third, count(*), sum(revenue), avg(revenue),
           percentile_disc(ARRAY[0.5, 0.500000001, 0.9]) WITHIN GROUP (ORDER BY revenue)
    FROM base
    WHERE %(subtotals)s::text = 'cube'
    GROUP BY CUBE (period, first, second, third)
),
levelled AS (
    SELECT *, 4 - bit_count(subtotal::bit(4)) AS level
    FROM totals, (SELECT 7 >> cardinality(%(dimensions)s::text[]) AS absent) AS dimensions
    -- Without input there are no totals either; with fewer dimensions, breaking down by those that are not there only repeats.
    WHERE entities > 0 AND subtotal & absent = absent
),
compared AS (
    SELECT *,
           lag(revenue) OVER siblings AS earlier_revenue,
           lag(period) OVER siblings AS earlier_period,
           CASE
               WHEN level > 1 AND period IS NOT NULL THEN max(revenue) FILTER (WHERE level = 1) OVER (PARTITION BY period)
               ELSE max(revenue) FILTER (WHERE level = 0) OVER ()
           END AS whole,
           -- What is greater among those of its kind and period: all down to a row, without it and its equals. (A frame that
           -- excludes them is added up anew for each row.)
           sum(revenue) OVER (PARTITION BY subtotal, period ORDER BY revenue DESC NULLS LAST)
               - revenue * count(*) OVER (PARTITION BY subtotal, period, revenue) AS greater
    FROM levelled
    WINDOW siblings AS (PARTITION BY subtotal, first, second, third ORDER BY period)
)
SELECT level,
       array_remove(ARRAY[
           CASE WHEN subtotal & 8 = 0 THEN 'period' END,
           CASE WHEN subtotal & 4 = 0 THEN (%(dimensions)s::text[])[1] END,
           CASE WHEN subtotal & 2 = 0 THEN (%(dimensions)s::text[])[2] END,
           CASE WHEN subtotal & 1 = 0 THEN (%(dimensions)s::text[])[3] END], NULL) AS grouped_by,
       period,
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
       -- Against the period before and no earlier one: a gap has no growth. Up is positive, from below zero, too.
       CASE WHEN earlier_period = (period - CASE %(timeframe)s::text
               WHEN 'week' THEN INTERVAL '1 week' WHEN 'month' THEN INTERVAL '1 month'
               WHEN 'quarter' THEN INTERVAL '3 months' WHEN 'year' THEN INTERVAL '1 year' END)::date
           THEN round((revenue - earlier_revenue) / nullif(abs(earlier_revenue), 0), 6) END AS growth,
       round(revenue / nullif(whole, 0), 6) AS share,
       CASE WHEN subtotal | 8 = 15 OR revenue IS NULL OR coalesce(whole, 0) <= 0 THEN NULL
            WHEN greater < 0.8 * whole THEN 'A'
            WHEN greater < 0.95 * whole THEN 'B'
            ELSE 'C' END AS tier
FROM compared
ORDER BY level, subtotal, period, first NULLS LAST, second NULLS LAST, third NULLS LAST
