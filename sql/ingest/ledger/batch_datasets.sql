-- Returns objects, bytes and the longest lag of a run, for each dataset. Objects that were requeued by hand have no lag.
-- Parameter: object_ids.
SELECT dataset, count(*) AS objects, sum(size)::bigint AS bytes,
       extract(epoch FROM max(finished_at - discovered_at) FILTER (WHERE NOT replayed))::float AS longest_lag
FROM ingest.objects
WHERE object_id = ANY (%(object_ids)s)
GROUP BY dataset
ORDER BY dataset
