-- Adds objects to the ledger unless they exist, and returns the new IDs. An event that comes after a listing adds its sequencer.
-- Never waits for a lock: an object that is being loaded can be locked for a long time.
-- Parameters: arrays of equal length.
WITH seen AS (
    SELECT * FROM unnest(
        %(object_ids)s::bigint[], %(buckets)s::text[], %(keys)s::text[], %(versions)s::text[], %(versioned)s::boolean[],
        %(sizes)s::bigint[], %(sequencers)s::text[], %(discovered_by)s::text[], %(sources)s::text[], %(datasets)s::text[],
        %(snapshot_ids)s::bigint[]
    ) AS u (object_id, bucket, key, version, versioned, size, sequencer, discovered_by, source, dataset, snapshot_id)
),
listed AS (
    SELECT o.object_id, seen.sequencer
    FROM seen JOIN ingest.objects o USING (object_id)
    WHERE o.sequencer IS NULL AND seen.sequencer IS NOT NULL
    ORDER BY o.object_id
    FOR UPDATE OF o SKIP LOCKED
),
completed AS (
    UPDATE ingest.objects o SET sequencer = listed.sequencer FROM listed WHERE o.object_id = listed.object_id
)
INSERT INTO ingest.objects AS o (
    object_id, bucket, key, version, versioned, size, sequencer, discovered_by, source, dataset, snapshot_id, state,
    finished_at)
SELECT object_id, bucket, key, version, versioned, size, sequencer, discovered_by, source, dataset, snapshot_id,
       CASE WHEN source IS NULL THEN 'unroutable' ELSE 'discovered' END,
       CASE WHEN source IS NULL THEN clock_timestamp() END
FROM seen
ORDER BY object_id  -- one order for all, so that two of these statements cannot deadlock
ON CONFLICT DO NOTHING
RETURNING object_id
