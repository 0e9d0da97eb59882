-- Adds a snapshot unless it exists, and assigns an object to it. The earliest time that a part tells counts.
-- Parameters: snapshot_id, source, dataset, scope, name, as_of, listed, object_id.
WITH opened AS (
    INSERT INTO ingest.snapshots AS s (snapshot_id, source, dataset, scope, name, as_of, listed)
    VALUES (%(snapshot_id)s, %(source)s, %(dataset)s, %(scope)s, %(name)s, %(as_of)s, %(listed)s)
    ON CONFLICT (snapshot_id) DO UPDATE SET
        as_of = CASE WHEN s.forgotten THEN s.as_of ELSE least(s.as_of, EXCLUDED.as_of) END,
        listed = coalesce(EXCLUDED.listed, s.listed)
    WHERE s.as_of IS DISTINCT FROM least(s.as_of, EXCLUDED.as_of) OR EXCLUDED.listed IS NOT NULL
)
UPDATE ingest.objects SET snapshot_id = %(snapshot_id)s
WHERE object_id = %(object_id)s AND snapshot_id IS DISTINCT FROM %(snapshot_id)s
