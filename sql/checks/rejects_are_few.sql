-- table: ingest.rejects
-- severity: warn
-- Sources of whose rows of the last seven days more than one in a hundred is rejected and still open.
SELECT source, dataset, open, records, round(open / records, 4) AS share
FROM (
    SELECT source, dataset, sum(records) AS records
    FROM ingest.objects
    WHERE finished_at >= now() - interval '7 days' AND state IN ('loaded', 'loaded_with_rejects')
    GROUP BY source, dataset
) loaded
JOIN (
    SELECT source, dataset, count(*)::numeric AS open
    FROM ingest.rejects
    WHERE status = 'open' AND created_at >= now() - interval '7 days'
    GROUP BY source, dataset
) rejected USING (source, dataset)
WHERE open > records / 100
ORDER BY share DESC, source, dataset
