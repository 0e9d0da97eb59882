-- How many objects are in line or in work, and since when the oldest of them; what was put back by hand is not late.
SELECT count(*), coalesce(extract(epoch FROM now() - min(discovered_at) FILTER (WHERE NOT replayed)), 0)::float8
FROM ingest.objects
WHERE state IN ('discovered', 'claimed')
