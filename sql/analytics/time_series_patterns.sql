-- One metric of all entities added up by period, and what its course shows. Every measure looks at the past and the present only
-- (seasonality excepted), so that a new period does not change what was said of the ones before it. Periods without
-- points are there, with null for a value, and take no part in the measures.
-- Points are not joined to living entities: the past of those who are left would be better than the past was.
WITH points AS (
    SELECT date_trunc(%(analysis_period)s::text, metric_date::timestamp)::date AS period,
           sum(value) AS value, count(*) AS points
    FROM analytics.time_series_data
    WHERE metric_type = %(metric)s::text
    GROUP BY 1
),
stepped AS (
    SELECT CASE %(analysis_period)s::text
               WHEN 'day' THEN INTERVAL '1 day' WHEN 'week' THEN INTERVAL '1 week' WHEN 'month' THEN INTERVAL '1 month'
               WHEN 'quarter' THEN INTERVAL '3 months' WHEN 'year' THEN INTERVAL '1 year' END AS step
),
calendar AS (
    SELECT period::date AS period, row_number() OVER (ORDER BY period) AS place,
           CASE %(analysis_period)s::text
               WHEN 'day' THEN extract(isodow FROM period) WHEN 'week' THEN extract(week FROM period)
               WHEN 'month' THEN extract(month FROM period) WHEN 'quarter' THEN extract(quarter FROM period)
               ELSE 1 END::int AS season
    FROM stepped, (SELECT min(period)::timestamp AS earliest, max(period)::timestamp AS latest FROM points) AS span,
         generate_series(earliest, latest, step) AS period
),
series AS (
    SELECT period, place, season, value, coalesce(points, 0) AS points,
           -- Against the size of the value before: up is positive, from below zero, too.
           (value - lag(value) OVER course) / nullif(abs(lag(value) OVER course), 0) AS growth
    FROM calendar LEFT JOIN points USING (period)
    WINDOW course AS (ORDER BY period)
),
measured AS (
    SELECT *,
           avg(value) OVER (ORDER BY period ROWS 2 PRECEDING) AS moving_average,
           stddev_samp(growth) OVER (ORDER BY period ROWS 5 PRECEDING) AS volatility,
           avg(value) OVER (PARTITION BY season) / nullif(avg(value) OVER (), 0) AS seasonality,
           -- The least-squares slope of the last six periods, in shares of their mean. In numeric: regr_slope is of floats.
           count(value) OVER recent AS n,
           sum(place) FILTER (WHERE value IS NOT NULL) OVER recent AS sx,
           sum(place * place) FILTER (WHERE value IS NOT NULL) OVER recent AS sxx,
           sum(value) OVER recent AS sy,
           sum(place * value) OVER recent AS sxy,
           -- Against the twelve periods before, of which there must be at least six.
           count(value) OVER earlier AS earlier_n,
           avg(value) OVER earlier AS earlier_mean,
           stddev_samp(value) OVER earlier AS earlier_deviation
    FROM series
    WINDOW recent AS (ORDER BY period ROWS 5 PRECEDING),
           earlier AS (ORDER BY period ROWS BETWEEN 12 PRECEDING AND 1 PRECEDING)
),
judged AS (
    SELECT *,
           CASE WHEN n >= 3 THEN (n * sxy - sx * sy) / (n * sxx - sx * sx) / nullif(abs(sy) / n, 0) END AS slope,
           CASE WHEN earlier_n >= 6 THEN (value - earlier_mean) / nullif(earlier_deviation, 0) END AS deviation,
           -- Not by `deviation`, which there is none of after a course without any: whatever leaves that is an anomaly.
           earlier_n >= 6 AND abs(value - earlier_mean) > 3 * earlier_deviation AS anomaly
    FROM measured
)
SELECT period, points, value,
       round(moving_average, 6) AS moving_average,
       round(growth, 6) AS growth,
       round(volatility, 6) AS volatility,
       round(seasonality, 6) AS seasonality,
       round(slope, 6) AS slope,
       CASE WHEN value IS NULL OR slope IS NULL THEN NULL
            WHEN volatility > 0.5 THEN 'volatile'
            WHEN slope > 0.01 THEN 'rising'
            WHEN slope < -0.01 THEN 'falling'
            ELSE 'flat' END AS trend,
       round(deviation, 6) AS deviation,
       coalesce(anomaly, false) AS anomaly
FROM judged
ORDER BY period
