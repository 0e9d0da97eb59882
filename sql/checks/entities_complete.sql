-- table: canonical.entities
-- severity: warn
-- Attributes that more than half of a source's entities lack: they skew every figure that is grouped by them.
SELECT source, attribute, missing, entities, round(missing / entities::numeric, 3) AS share
FROM (
    SELECT source, count(*) AS entities,
           count(*) FILTER (WHERE industry IS NULL) AS industry,
           count(*) FILTER (WHERE country IS NULL) AS country,
           count(*) FILTER (WHERE revenue IS NULL) AS revenue
    FROM canonical.entities
    WHERE NOT deleted
    GROUP BY source
) counted
CROSS JOIN LATERAL (VALUES ('industry', industry), ('country', country), ('revenue', revenue)) AS v (attribute, missing)
WHERE missing > entities / 2
ORDER BY share DESC, source, attribute
