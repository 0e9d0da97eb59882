-- The systems that have entities, which data_integrity_analysis can compare.
SELECT DISTINCT source FROM analytics.entities ORDER BY source
