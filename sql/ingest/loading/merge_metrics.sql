-- Merges the incoming metrics: the greater position wins. An unchanged row takes its new position, so that a late one
-- between the two cannot win. Returns a row for each outcome: new, changed, unchanged,
-- same (a replay), stale.
WITH merged AS (
    INSERT INTO canonical.time_series_data AS t (
        canonical_id, metric_type, metric_date, source,
        value, quality, tags, deleted, source_updated_at, object_modified_at, object_id, ordinal, content_hash)
    SELECT
        canonical_id, metric_type, metric_date, source,
        value, quality, tags, deleted, source_updated_at, object_modified_at, object_id, ordinal, content_hash
    FROM incoming_metrics WHERE NOT late
    ON CONFLICT (canonical_id, metric_type, metric_date) DO UPDATE SET
        value = EXCLUDED.value, quality = EXCLUDED.quality, tags = EXCLUDED.tags, deleted = EXCLUDED.deleted,
        source_updated_at = EXCLUDED.source_updated_at, object_modified_at = EXCLUDED.object_modified_at,
        object_id = EXCLUDED.object_id, ordinal = EXCLUDED.ordinal, content_hash = EXCLUDED.content_hash
    WHERE (EXCLUDED.source_updated_at, EXCLUDED.object_modified_at, EXCLUDED.object_id, EXCLUDED.ordinal)
        > (t.source_updated_at, t.object_modified_at, t.object_id, t.ordinal)
       OR (t.object_id = EXCLUDED.object_id AND t.ordinal = EXCLUDED.ordinal AND t.content_hash <> EXCLUDED.content_hash)
    RETURNING new.object_id, new.ordinal, new.deleted, CASE
        WHEN old.object_id IS NULL THEN 'new'
        WHEN old.content_hash = new.content_hash THEN 'unchanged'
        ELSE 'changed' END AS outcome
)
SELECT i.object_id,
       CASE
           WHEN m.outcome IS NOT NULL THEN m.outcome
           WHEN EXISTS (
               SELECT FROM canonical.time_series_data t
               WHERE (t.canonical_id, t.metric_type, t.metric_date)
                   = (i.canonical_id, i.metric_type, i.metric_date)
                 AND (t.object_id, t.ordinal) = (i.object_id, i.ordinal)) THEN 'same'
           ELSE 'stale' END AS outcome,
       count(*) AS rows, count(*) FILTER (WHERE i.deleted) AS deleted
FROM incoming_metrics i
LEFT JOIN merged m USING (object_id, ordinal)
GROUP BY 1, 2
