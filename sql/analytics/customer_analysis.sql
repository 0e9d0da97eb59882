-- Customers by segment. The percentile an epsilon above one half is the upper of the two middle values of an even number of
-- customers (the same value of an odd number): half their sum is the exact median, which percentile_cont would give as a float.
WITH measured AS (
    SELECT CASE %(group_by)s::text
               WHEN 'industry' THEN industry
               WHEN 'region' THEN region
               WHEN 'country' THEN country
               WHEN 'customer_tier' THEN customer_tier
               WHEN 'status' THEN status
               WHEN 'source' THEN source
               WHEN 'entity_type' THEN entity_type
           END AS segment,
           CASE %(metric)s::text
               WHEN 'revenue' THEN revenue
               WHEN 'lifetime_value' THEN lifetime_value
               WHEN 'total_spent' THEN total_spent
               WHEN 'total_orders' THEN total_orders::numeric
               WHEN 'employees' THEN employees::numeric
           END AS amount
    FROM analytics.entities
    WHERE entity_type = 'customer'
),
segments AS (
    SELECT segment,
           count(*) AS customers,
           count(amount) AS with_metric,
           avg(amount) AS mean,
           sum(amount) AS total,
           percentile_disc(ARRAY[0.5, 0.500000001]) WITHIN GROUP (ORDER BY amount) AS middle,
           min(amount) AS least,
           max(amount) AS greatest
    FROM measured
    GROUP BY segment
),
shared AS (
    -- Shares are of all customers, those of segments too small to be shown included.
    SELECT *, count(*) OVER () AS segments, sum(customers) OVER () AS all_customers, sum(total) OVER () AS all_total
    FROM segments
)
SELECT segment, customers, with_metric, total,
       round(mean, 6) AS mean,
       (middle[1] + middle[2]) * 0.5 AS median,
       least AS minimum, greatest AS maximum,
       round(customers / all_customers, 6) AS share_of_customers,
       round(total / nullif(all_total, 0), 6) AS share_of_total
FROM shared
WHERE customers >= %(min_customers)s::int
ORDER BY total DESC NULLS LAST, customers DESC, segment NULLS LAST
