-- table: canonical.entity_versions
-- severity: error
-- blocking: yes
-- Entities whose history is not the versions 1, 2, … up to the current one, or that has a history and no current state.
SELECT coalesce(e.entity_id, v.entity_id) AS entity_id, e.canonical_id, e.version AS current_version, v.versions, v.latest
FROM (SELECT entity_id, canonical_id, version FROM canonical.entities WHERE version > 1) e
FULL JOIN (
    SELECT entity_id, count(*) AS versions, max(version) AS latest FROM canonical.entity_versions GROUP BY entity_id
) v USING (entity_id)
WHERE e.version IS DISTINCT FROM v.latest + 1 OR v.versions <> v.latest
ORDER BY entity_id
