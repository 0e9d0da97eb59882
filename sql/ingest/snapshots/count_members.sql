-- Counts the members of a snapshot, and says whether another closed snapshot of the source and dataset has a later mark.
-- Parameters: snapshot_id, source, dataset, as_of.
SELECT (SELECT coalesce(sum(bit_count(members)), 0)::bigint FROM ingest.snapshot_members WHERE snapshot_id = %(snapshot_id)s),
       EXISTS (
           SELECT FROM ingest.snapshots
           WHERE source = %(source)s AND dataset = %(dataset)s AND state = 'closed' AND snapshot_id <> %(snapshot_id)s
             AND as_of >= %(as_of)s)
