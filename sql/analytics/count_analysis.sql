-- How much there is of something in each segment, and how densely. Of the branches of `counted` only the one asked for runs:
-- the others' conditions are false before the plan is made.
WITH counted AS (
    SELECT canonical_id, count(*) AS things
    FROM analytics.time_series_data
    WHERE %(metric)s::text = 'time_series_points'
    GROUP BY canonical_id
    UNION ALL
    SELECT canonical_id, count(*)
    FROM analytics.entity_versions
    WHERE %(metric)s::text = 'versions'
    GROUP BY canonical_id
    UNION ALL
    SELECT canonical_id, count(*)
    FROM (
        SELECT parent_canonical_id AS canonical_id FROM analytics.entity_relationships
        WHERE %(metric)s::text = 'relationships'
        UNION ALL
        -- A relationship of an entity with itself counts once.
        SELECT child_canonical_id FROM analytics.entity_relationships
        WHERE %(metric)s::text = 'relationships' AND child_canonical_id <> parent_canonical_id
    ) AS ends
    GROUP BY canonical_id
),
segments AS (
    SELECT CASE %(group_by)s::text
               WHEN 'industry' THEN entities.industry
               WHEN 'region' THEN entities.region
               WHEN 'country' THEN entities.country
               WHEN 'customer_tier' THEN entities.customer_tier
               WHEN 'status' THEN entities.status
               WHEN 'source' THEN entities.source
               WHEN 'entity_type' THEN entities.entity_type
           END AS segment,
           count(*) AS entities,
           CASE WHEN %(metric)s::text = 'entities' THEN count(*) ELSE count(counted.things) END AS entities_with,
           CASE WHEN %(metric)s::text = 'entities' THEN count(*) ELSE coalesce(sum(counted.things), 0)::bigint END AS count
    FROM analytics.entities LEFT JOIN counted ON counted.canonical_id = entities.canonical_id
    GROUP BY segment
)
SELECT segment, entities, count, entities_with,
       round(count::numeric / entities, 6) AS density,
       round(entities_with::numeric / entities, 6) AS coverage,
       round(count / nullif(sum(count) OVER (), 0), 6) AS share
FROM segments
ORDER BY count DESC, entities DESC, segment NULLS LAST
