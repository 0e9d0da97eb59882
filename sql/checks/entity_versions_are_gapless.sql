-- table: canonical.entity_versions
-- severity: error
-- blocking: yes
-- Entities whose history is damaged: a version is missing, two versions overlap, a gap is between them, or no current state follows.
--
-- Versions are 1, 2, … without a gap, and the current state has the next number. Each version ends when the next state begins.
SELECT coalesce(e.entity_id, v.entity_id) AS entity_id, e.canonical_id, e.version AS current_version, v.versions, v.earliest,
    v.latest, v.wrong_ends, v.latest_ends, e.source_updated_at AS current_begins
FROM (SELECT entity_id, canonical_id, version, source_updated_at FROM canonical.entities WHERE version > 1) e
FULL JOIN (
    SELECT entity_id, count(*) AS versions, min(version) AS earliest, max(version) AS latest,
        count(*) FILTER (WHERE valid_to <> next_begins OR valid_to < source_updated_at) AS wrong_ends,
        max(valid_to) FILTER (WHERE next_begins IS NULL) AS latest_ends
    FROM (
        SELECT entity_id, version, source_updated_at, valid_to,
            lead(source_updated_at) OVER (PARTITION BY entity_id ORDER BY version) AS next_begins
        FROM canonical.entity_versions
    ) numbered
    GROUP BY entity_id
) v USING (entity_id)
WHERE e.version IS DISTINCT FROM v.latest + 1 OR v.earliest <> 1 OR v.versions <> v.latest
   OR v.wrong_ends > 0 OR v.latest_ends IS DISTINCT FROM e.source_updated_at
ORDER BY entity_id
