-- What a run's objects amount to, by dataset; what was put back by hand is not late. Parameter: object_ids.
SELECT dataset, count(*) AS objects, sum(size)::bigint AS bytes,
       extract(epoch FROM max(finished_at - discovered_at) FILTER (WHERE NOT replayed))::float AS longest_lag
FROM ingest.objects
WHERE object_id = ANY (%(object_ids)s)
GROUP BY dataset
ORDER BY dataset
