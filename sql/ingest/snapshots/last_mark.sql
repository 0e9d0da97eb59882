-- Returns whether a source and dataset have snapshots, and the time of the last one that is closed.
-- Parameters: source, dataset.
SELECT count(*) > 0, max(as_of) FILTER (WHERE state = 'closed')
FROM ingest.snapshots WHERE source = %(source)s AND dataset = %(dataset)s
