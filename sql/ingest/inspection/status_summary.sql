-- How many objects are in which state, with their records; the latest change of each.
SELECT coalesce(source, '?') AS source, coalesce(dataset, '?') AS dataset, state, count(*) AS objects,
       sum(records)::bigint AS records, sum(rejected)::bigint AS rejected,
       max(coalesce(finished_at, started_at, discovered_at)) AS latest
FROM ingest.objects
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
