-- table: canonical.entities
-- severity: warn
-- Companies that two source systems know by the same name and country, with revenues that differ by more than a fifth.
WITH named AS (
    SELECT canonical_id, source, lower(btrim(name)) AS name, country, revenue
    FROM canonical.entities
    WHERE NOT deleted AND revenue > 0
)
SELECT a.name, a.country, a.canonical_id, a.revenue, b.canonical_id AS other_id, b.revenue AS other_revenue
FROM named a
JOIN named b ON b.name = a.name AND b.country IS NOT DISTINCT FROM a.country AND b.source > a.source
WHERE abs(a.revenue - b.revenue) > greatest(a.revenue, b.revenue) / 5
ORDER BY abs(a.revenue - b.revenue) DESC, a.canonical_id, b.canonical_id
