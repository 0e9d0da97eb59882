-- What a run's objects amount to, by dataset. Parameter: object_ids.
SELECT dataset, count(*) AS objects, sum(size)::bigint AS bytes,
       extract(epoch FROM max(finished_at - discovered_at))::float AS longest_lag
FROM ingest.objects
WHERE object_id = ANY (%(object_ids)s)
GROUP BY dataset
ORDER BY dataset
