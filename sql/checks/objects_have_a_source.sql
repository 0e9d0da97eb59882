-- table: ingest.objects
-- severity: warn
-- Objects in folders that no source is registered for: `pipeline replay` loads them once one is.
SELECT split_part(key, '/', 1) AS folder, count(*) AS objects, sum(size) AS bytes, max(discovered_at) AS latest
FROM ingest.objects
WHERE state = 'unroutable'
GROUP BY folder
ORDER BY objects DESC, folder
