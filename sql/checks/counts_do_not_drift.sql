-- table: ingest.objects
-- severity: warn
-- Sources and datasets that sent less than a fifth, or more than five times, of what they mostly send on a day. The last
-- whole day (UTC) is compared with the median of the days with deliveries in the four weeks before it.
WITH daily AS (
    SELECT source, dataset, (finished_at AT TIME ZONE 'UTC')::date AS day, sum(records) AS records
    FROM ingest.objects
    WHERE state IN ('loaded', 'loaded_with_rejects') AND finished_at >= date_trunc('day', now(), 'UTC') - make_interval(hours => 29 * 24)
    GROUP BY source, dataset, day
),
usual AS (
    SELECT source, dataset, percentile_cont(0.5) WITHIN GROUP (ORDER BY records) AS median, count(*) AS days
    FROM daily
    WHERE day < (now() AT TIME ZONE 'UTC')::date - 1
    GROUP BY source, dataset
    HAVING count(*) >= 7
)
SELECT u.source, u.dataset, coalesce(d.records, 0) AS records, u.median, u.days
FROM usual u
LEFT JOIN daily d ON d.source = u.source AND d.dataset = u.dataset AND d.day = (now() AT TIME ZONE 'UTC')::date - 1
WHERE coalesce(d.records, 0) NOT BETWEEN u.median / 5 AND u.median * 5
ORDER BY u.source, u.dataset
