-- Returns one row if the source has an open reject of the dataset.
-- Parameters: source, dataset.
SELECT FROM ingest.rejects WHERE status = 'open' AND source = %(source)s AND dataset = %(dataset)s LIMIT 1
