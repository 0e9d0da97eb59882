-- Returns the version of a mapping, and whether it is new. A fingerprint that is not the newest gets the next version, also
-- one that was in use before: what a mapping reads after a rollback is newer than what the other mapping read meanwhile.
-- The newest version has no fingerprint if it is older than this table. Then the first load adopts it.
-- The caller holds the lock of the source and dataset. Parameters: source, dataset, fingerprint.
WITH newest AS (
    SELECT version, fingerprint FROM ingest.mappings
    WHERE source = %(source)s AND dataset = %(dataset)s
    ORDER BY version DESC LIMIT 1
),
adopted AS (
    UPDATE ingest.mappings m SET fingerprint = %(fingerprint)s
    FROM newest
    WHERE m.source = %(source)s AND m.dataset = %(dataset)s AND m.version = newest.version AND newest.fingerprint IS NULL
    RETURNING m.version
),
given AS (
    INSERT INTO ingest.mappings (source, dataset, version, fingerprint)
    SELECT %(source)s, %(dataset)s, coalesce((SELECT version FROM newest), 0) + 1, %(fingerprint)s
    WHERE NOT EXISTS (SELECT FROM newest WHERE fingerprint IS NULL OR fingerprint = %(fingerprint)s)
    RETURNING version
)
SELECT version, false AS is_new FROM newest WHERE fingerprint = %(fingerprint)s
UNION ALL SELECT version, false FROM adopted
UNION ALL SELECT version, true FROM given
