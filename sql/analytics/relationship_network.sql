-- The entities within `depth` steps of a root, each once, at its least distance, with what lies below it in this network.
--
-- The recursions drop rows that they have seen (UNION): a path through a cycle ends where it closes, and an entity that several
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
-- Numbered, since pairs of numbers take a fraction of what pairs of ids do; the root is the first.
members AS MATERIALIZED (
    SELECT canonical_id, min(distance) AS distance, (row_number() OVER (ORDER BY min(distance)))::int AS member
    FROM reached GROUP BY canonical_id
),
edges AS MATERIALIZED (
    SELECT DISTINCT members.member AS parent, children.member AS child
    FROM members CROSS JOIN LATERAL (
        SELECT child_canonical_id FROM analytics.entity_relationships
        WHERE parent_canonical_id = members.canonical_id
          AND valid_from <= %(as_of)s::date AND (valid_to IS NULL OR valid_to >= %(as_of)s::date)
    ) AS step (canonical_id)
    JOIN members AS children ON children.canonical_id = step.canonical_id
),
-- Everything may lie below everything. As many pairs are looked for as `roll_up_to` steps can find, each pair taking one for each
-- relationship that an entity has on average; the recursion ends with the last pair that is asked for.
affordable AS MATERIALIZED (
    SELECT %(roll_up_to)s::bigint * members / greatest(members, edges, 1) AS pairs
    FROM (SELECT count(*) AS members FROM members) AS all_members, (SELECT count(*) AS edges FROM edges) AS all_edges
),
below (ancestor, member) AS (
    SELECT parent, child FROM edges
    UNION
    SELECT below.ancestor, edges.child FROM below JOIN edges ON edges.parent = below.member
),
pairs AS MATERIALIZED (
    SELECT ancestor, member FROM below LIMIT (SELECT pairs + 1 FROM affordable)
),
rule AS MATERIALIZED (
    SELECT count(*) <= (SELECT pairs FROM affordable) AS each FROM pairs
),
-- (`<=`, of which the planner expects more than of `=`: it then hashes the edges once and not what was found, at each step.)
below_root (ancestor, member) AS (
    SELECT parent, child FROM edges WHERE parent <= 1
    UNION
    SELECT below_root.ancestor, edges.child FROM below_root JOIN edges ON edges.parent = below_root.member
),
described AS MATERIALIZED (
    SELECT members.canonical_id, members.member, members.distance, entity.name, entity.source, entity.entity_type, entity.revenue
    FROM members CROSS JOIN LATERAL (
        SELECT name, source, entity_type, revenue FROM analytics.entities WHERE canonical_id = members.canonical_id
    ) AS entity
),
rolled AS (
    SELECT ancestor,
           count(*) FILTER (WHERE member <> ancestor) AS downstream_entities,
           sum(revenue) FILTER (WHERE member <> ancestor) AS downstream_revenue,
           bool_or(member = ancestor) AS in_cycle
    FROM (
        SELECT ancestor, member FROM pairs WHERE (SELECT each FROM rule)
        UNION ALL
        SELECT ancestor, member FROM below_root WHERE NOT (SELECT each FROM rule)
    ) AS known
    JOIN described USING (member)
    GROUP BY ancestor
)
SELECT distance, canonical_id, name, source, entity_type, revenue,
       coalesce(children, 0) AS children,
       CASE WHEN each OR distance = 0 THEN coalesce(downstream_entities, 0) END AS downstream_entities,
       -- Each entity's own revenue and that of all below it, each counted once; null where nobody has any.
       CASE WHEN (each OR distance = 0) AND coalesce(revenue, downstream_revenue) IS NOT NULL
           THEN coalesce(revenue, 0) + coalesce(downstream_revenue, 0) END AS total_revenue,
       CASE WHEN each OR distance = 0 THEN coalesce(in_cycle, false) END AS in_cycle
FROM rule
CROSS JOIN described
LEFT JOIN rolled ON rolled.ancestor = described.member
LEFT JOIN (
    SELECT parent, count(*) AS children FROM edges WHERE child <> parent GROUP BY parent
) AS families ON families.parent = described.member
ORDER BY distance, canonical_id
