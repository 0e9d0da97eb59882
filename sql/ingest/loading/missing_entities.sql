-- Sources of which the table holds fewer entities than their objects have inserted. Entities are never deleted, so rows were
-- lost. More are no fault: an object that is replayed is counted anew, and finds its entities there.
SELECT o.source, o.inserted, coalesce(e.entities, 0) AS entities
FROM (
    SELECT source, sum(inserted) AS inserted
    FROM ingest.objects
    WHERE dataset = 'entities' AND state IN ('loaded', 'loaded_with_rejects')
    GROUP BY source
) o
LEFT JOIN (SELECT source, count(*) AS entities FROM canonical.entities GROUP BY source) e USING (source)
WHERE coalesce(e.entities, 0) < o.inserted
ORDER BY o.source
