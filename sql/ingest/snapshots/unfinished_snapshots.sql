-- Returns the snapshots that are open or held, each with its source and dataset.
SELECT snapshot_id, source, dataset FROM ingest.snapshots WHERE state IN ('open', 'held') ORDER BY source, dataset, snapshot_id
