-- What time_series_patterns can be asked for; read only when it was asked for something else.
SELECT DISTINCT metric_type FROM analytics.time_series_data ORDER BY metric_type LIMIT 50
