-- Entities and money of each source system and entity type. A sum is null where no entity has the amount.
SELECT source, entity_type,
       count(*) AS entities,
       count(revenue) AS with_revenue,
       sum(revenue) AS revenue,
       sum(employees)::bigint AS employees,
       max(source_updated_at) AS latest_change
FROM analytics.entities
GROUP BY source, entity_type
ORDER BY source, entity_type
