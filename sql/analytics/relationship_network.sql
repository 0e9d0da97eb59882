-- The entities within `depth` steps of a root, each once, at its least distance, with what lies below it in this network.
--
-- Both recursions drop rows that they have seen (UNION): a path through a cycle ends where it closes, and an entity that several
-- paths lead to is one row, so that nothing below a diamond counts twice. No paths are kept: their number
-- grows exponentially where that of entities does not. The steps are LATERAL, so that each is a look-up in an index.
WITH RECURSIVE reached (canonical_id, distance) AS (
    SELECT canonical_id, 0 FROM analytics.entities WHERE canonical_id = %(root)s::text
    UNION
    SELECT step.canonical_id, reached.distance + 1
    FROM reached CROSS JOIN LATERAL (
        SELECT child_canonical_id FROM analytics.entity_relationships
        WHERE parent_canonical_id = reached.canonical_id AND %(direction)s::text IN ('downstream', 'both')
          AND valid_from <= %(as_of)s::date AND (valid_to IS NULL OR valid_to >= %(as_of)s::date)
        UNION ALL
        SELECT parent_canonical_id FROM analytics.entity_relationships
        WHERE child_canonical_id = reached.canonical_id AND %(direction)s::text IN ('upstream', 'both')
          AND valid_from <= %(as_of)s::date AND (valid_to IS NULL OR valid_to >= %(as_of)s::date)
    ) AS step (canonical_id)
    WHERE reached.distance < %(depth)s::int
),
members AS MATERIALIZED (
    SELECT canonical_id, min(distance) AS distance FROM reached GROUP BY canonical_id
),
edges AS MATERIALIZED (
    SELECT DISTINCT members.canonical_id AS parent, step.canonical_id AS child
    FROM members CROSS JOIN LATERAL (
        SELECT child_canonical_id FROM analytics.entity_relationships
        WHERE parent_canonical_id = members.canonical_id
          AND valid_from <= %(as_of)s::date AND (valid_to IS NULL OR valid_to >= %(as_of)s::date)
    ) AS step (canonical_id)
    WHERE step.canonical_id IN (SELECT canonical_id FROM members)
),
below (ancestor, canonical_id) AS (
    SELECT parent, child FROM edges
    UNION
    SELECT below.ancestor, edges.child FROM below JOIN edges ON edges.parent = below.canonical_id
),
described AS MATERIALIZED (
    SELECT members.canonical_id, members.distance, entity.name, entity.source, entity.entity_type, entity.revenue
    FROM members CROSS JOIN LATERAL (
        SELECT name, source, entity_type, revenue FROM analytics.entities WHERE canonical_id = members.canonical_id
    ) AS entity
),
rolled AS (
    SELECT below.ancestor,
           count(*) FILTER (WHERE below.canonical_id <> below.ancestor) AS downstream_entities,
           sum(described.revenue) FILTER (WHERE below.canonical_id <> below.ancestor) AS downstream_revenue,
           bool_or(below.canonical_id = below.ancestor) AS in_cycle
    FROM below JOIN described ON described.canonical_id = below.canonical_id
    GROUP BY below.ancestor
)
SELECT described.distance, described.canonical_id, described.name, described.source, described.entity_type, described.revenue,
       (SELECT count(*) FROM edges WHERE edges.parent = described.canonical_id AND edges.child <> edges.parent) AS children,
       coalesce(rolled.downstream_entities, 0) AS downstream_entities,
       -- Each entity's own revenue and that of all below it, each counted once; null where nobody has any.
       CASE WHEN coalesce(described.revenue, rolled.downstream_revenue) IS NOT NULL
           THEN coalesce(described.revenue, 0) + coalesce(rolled.downstream_revenue, 0) END AS total_revenue,
       coalesce(rolled.in_cycle, false) AS in_cycle
FROM described LEFT JOIN rolled ON rolled.ancestor = described.canonical_id
ORDER BY described.distance, described.canonical_id
