-- table: canonical.time_series_data
-- severity: warn
-- Metrics of entities that nobody has sent.
SELECT t.canonical_id, count(*) AS metrics, min(t.metric_date) AS first_date, max(t.metric_date) AS last_date
FROM canonical.time_series_data t
LEFT JOIN canonical.entities e USING (canonical_id)
WHERE NOT t.deleted AND e.entity_id IS NULL
GROUP BY t.canonical_id
ORDER BY metrics DESC, t.canonical_id
