-- Writes objects to the ledger unless they are there; returns the new ones. An event that comes after a listing adds what
-- only an event knows. Parameters: arrays of equal length.
INSERT INTO ingest.objects AS o (
    object_id, bucket, key, version, versioned, size, sequencer, discovered_by, source, dataset, state)
SELECT object_id, bucket, key, version, versioned, size, sequencer, discovered_by, source, dataset,
       CASE WHEN source IS NULL THEN 'unroutable' ELSE 'discovered' END
FROM unnest(
    %(object_ids)s::bigint[], %(buckets)s::text[], %(keys)s::text[], %(versions)s::text[], %(versioned)s::boolean[],
    %(sizes)s::bigint[], %(sequencers)s::text[], %(discovered_by)s::text[], %(sources)s::text[], %(datasets)s::text[]
) AS u (object_id, bucket, key, version, versioned, size, sequencer, discovered_by, source, dataset)
ON CONFLICT (bucket, key, version) DO UPDATE SET sequencer = EXCLUDED.sequencer
    WHERE o.sequencer IS NULL AND EXCLUDED.sequencer IS NOT NULL
RETURNING new.object_id, old.object_id IS NULL AS is_new
