-- The same company in two systems: which names belong together, where what is said of them differs, and what to do.
--
-- Names are compared by trigrams (pg_trgm). Names that are equal in both systems (lower case, without punctuation and legal form)
-- are matched first; of the rest, two are matched if each is the other's best and they are at least `min_similarity` alike.
--
-- Up to `exhaustive_up_to` names without an equal, nothing is compared that cannot be alike, and nothing alike is missed (prefix
-- filtering: Chaudhuri et al., ICDE 2006; with several shared elements: Wang et al., SIGMOD 2012). Two sets that are alike to a
-- share t have at least ceil(t * n) elements in common, n being either's size: all but `spare`. With elements in one order, the
-- rarest first, the first element in common is among each set's first spare + 1, the second among the first spare + 2, and so on.
-- So each name walks down a tree: to a node for each of its first trigrams and, from nodes that are crowded, on to one for each that
-- may be the next in common; only names at the same end of a walk meet. Most of those who do are told apart by 64 bits for their
-- trigrams, in which alike names differ in few. Computed here and not kept in an index: a GIN index on names would slow every load
-- for this one query.
--
-- Trigrams are few, though: among a million names the rarest of a name are shared by thousands, and walks become long. Beyond
-- the bound names are compared by words: those that have all words but one in common, or the letters without blanks. Where more than
-- fifty have, they walk on from there by what else they have, and crowds that stay together are not compared but counted. The work so
-- grows with the number of names and not with its square.
WITH named AS MATERIALIZED (
    SELECT source, canonical_id, name, industry, country, revenue, employees,
           coalesce(nullif(btrim(regexp_replace(
               ' ' || regexp_replace(translate(lower(name), '.''’', ''), '[^[:alnum:]]+', ' ', 'g'),
               ' (inc|incorporated|ltd|limited|llc|llp|plc|gmbh|mbh|ag|kg|sa|sas|sarl|srl|spa|bv|nv|ab|as|oy|co|corp|'
               || 'corporation|company)(?= |$)', '', 'g')), ''), lower(name)) AS match_name
    FROM analytics.entities
    WHERE %(systems)s::text[] IS NULL OR source = ANY (%(systems)s::text[])
),
names AS MATERIALIZED (
    SELECT source, match_name, count(*) AS entities, min(canonical_id) AS canonical_id,
           -- What is compared of a name without an equal: one of ten thousand characters would be long at its walks.
           left(match_name, 100) AS compared_name,
           row_number() OVER ()::int AS name_id
    FROM named
    GROUP BY source, match_name
),
systems AS MATERIALIZED (
    SELECT source, (row_number() OVER (ORDER BY source))::smallint AS system, count(*) AS names, sum(entities)::bigint AS entities
    FROM names GROUP BY source
),
equals AS MATERIALIZED (
    SELECT l.name_id AS left_id, r.name_id AS right_id, l.source AS left_source, r.source AS right_source
    FROM names l JOIN names r ON r.match_name = l.match_name AND r.source > l.source
),
-- The systems in which a name has its equal.
settled AS MATERIALIZED (
    SELECT left_id AS name_id, right_source AS source FROM equals UNION ALL SELECT right_id, left_source FROM equals
),
-- Names that have no equal in one other system at the least.
open AS MATERIALIZED (
    SELECT name_id, system, match_name, trigrams, cardinality(trigrams)::smallint AS size,
           (cardinality(trigrams) - ceil(%(min_similarity)s::numeric * cardinality(trigrams)))::smallint AS spare,
           (SELECT bit_or(1::bigint << (hashtext(trigram) & 63)) FROM unnest(trigrams) AS trigram) AS bits
    FROM (
        SELECT name_id, source, compared_name AS match_name, extensions.show_trgm(compared_name) AS trigrams
        FROM names LEFT JOIN (SELECT name_id, count(*) AS systems FROM settled GROUP BY name_id) AS settled USING (name_id)
        WHERE coalesce(settled.systems, 0) < (SELECT count(*) - 1 FROM systems)
    ) AS unsettled
    JOIN systems USING (source)
    WHERE trigrams <> '{}'
),
rule AS MATERIALIZED (
    SELECT by_words, CASE WHEN by_words THEN 50 ELSE 200 END AS crowd, CASE WHEN by_words THEN 3 ELSE 5 END AS deepest,
           -- How many walks are gone at a time. By words one takes a few steps, by trigrams a hundred.
           CASE WHEN by_words THEN 200000 ELSE 25000 END AS at_a_time
    FROM (SELECT count(*) > %(exhaustive_up_to)s::bigint AS by_words FROM open) AS counted
),
-- Where a name's walks begin: with every other name or, by words, with those that have a part in common: all words, all but one,
-- the letters without blanks.
starts AS MATERIALIZED (
    SELECT row_number() OVER ()::int AS start_id, name_id, system, size, spare, bits, node, crowded,
           CASE WHEN crowded THEN part END AS part
    FROM (
        SELECT *, count(*) OVER same > crowd AS crowded, min(system) OVER same < max(system) OVER same AS shared
        FROM (
            SELECT name_id, system, size, spare, bits, crowd, part, hashtextextended(part, 0) AS node
            FROM rule CROSS JOIN open CROSS JOIN LATERAL (
                SELECT '' AS part WHERE NOT by_words
                UNION ALL
                SELECT coalesce(string_agg(word, ' ' ORDER BY word) FILTER (WHERE place <> left_out), '')
                FROM (SELECT string_to_array(match_name, ' ') AS words) AS split,
                     generate_series(0, cardinality(words)) AS left_out,
                     unnest(words) WITH ORDINALITY AS each_word (word, place)
                WHERE by_words
                GROUP BY left_out
                UNION ALL
                SELECT replace(match_name, ' ', '') WHERE by_words AND match_name LIKE '%% %%'
            ) AS parts
        ) AS parted
        WINDOW same AS (PARTITION BY node)
    ) AS met
    WHERE shared
),
-- What is still to be shared where many begin alike: the trigrams besides those of the common part. (Joined before they are
-- unnested: the planner would unnest those of all names and join then.)
crowds AS MATERIALIZED (
    SELECT start_id, trigrams, extensions.show_trgm(part) AS given FROM starts JOIN open USING (name_id) WHERE crowded
),
trigrams AS MATERIALIZED (
    SELECT start_id, trigram FROM crowds CROSS JOIN unnest(trigrams) AS trigram WHERE trigram <> ALL (given)
),
rarity AS MATERIALIZED (
    SELECT trigram, row_number() OVER (ORDER BY count(*), trigram)::int AS rarity
    FROM trigrams GROUP BY trigram
),
elements AS MATERIALIZED (
    SELECT start_id, count(*)::smallint AS elements, array_agg(rarity ORDER BY rarity) AS ranks
    FROM trigrams JOIN rarity USING (trigram)
    GROUP BY start_id
),
-- A node is known by the hash of the way there; should two ways have the same, it costs comparisons and changes nothing. Nodes
-- that only one system gets to lead nowhere, nor do those whose names have all left out the same trigram on their last step: they
-- share it, and meet on the way through it. The tree's depth is bounded, since a crowd that shares more is mostly alike.
-- Walked in parts, by the first step, so that temporary space is needed for those of a part only; each part begins anew with all
-- first steps, though.
-- By words a crowd at the end is not compared; its names are told by a pair without a right side.
candidates AS MATERIALIZED (
    SELECT l.name_id AS left_id, r.name_id AS right_id
    FROM starts l JOIN starts r USING (node)
    WHERE NOT l.crowded AND l.system < r.system
      AND bit_count((l.bits # r.bits)::bit(64))
          < (l.size + r.size) * (1 - %(min_similarity)s::float) / (1 + %(min_similarity)s::float) + 0.001
    UNION
    SELECT name_id, NULL FROM starts LEFT JOIN elements USING (start_id) WHERE crowded AND coalesce(elements, 0) <= spare
    UNION
    SELECT left_id, right_id
    FROM (SELECT 1 + count(*) / at_a_time AS parts FROM rule CROSS JOIN elements GROUP BY at_a_time) AS divided
    CROSS JOIN generate_series(0, parts - 1) AS part CROSS JOIN LATERAL (
        WITH RECURSIVE walks AS (
            SELECT start_id, name_id, system, size, spare, bits, elements, 0::smallint AS depth, 0::smallint AS place, node, true AS crowded
            FROM starts JOIN elements USING (start_id)
            WHERE crowded
            UNION ALL
            SELECT start_id, name_id, system, size, spare, bits, elements, depth, place, node, names > crowd
            FROM (
                SELECT *, count(*) OVER same AS names,
                       min(system) OVER same < max(system) OVER same
                       AND (min(left_out) OVER same < max(left_out) OVER same OR min(left_out) OVER same = 0) AS shared
                FROM (
                    SELECT start_id, name_id, system, size, spare, bits, elements, crowd, depth, place,
                           hashint8extended(node, ranks[place]) AS node,
                           CASE WHEN place > earlier_place + 1 THEN ranks[place - 1] ELSE 0 END AS left_out
                    FROM (
                        SELECT start_id, name_id, system, size, spare, bits, walks.elements, crowd, (depth + 1)::smallint AS depth,
                               place AS earlier_place,
                               generate_series(place + 1, least(walks.elements, spare + depth + 1))::smallint AS place, node, ranks
                        FROM rule CROSS JOIN walks JOIN elements USING (start_id)
                        WHERE crowded AND depth < deepest
                    ) AS step
                    WHERE depth > 1 OR ranks[place] %% parts = part
                ) AS stepped
                WINDOW same AS (PARTITION BY node)
            ) AS counted
            WHERE shared
        ),
        ends AS MATERIALIZED (
            SELECT name_id, system, size, bits, place - depth AS spared, node, by_words AND crowded AS left_out
            FROM rule CROSS JOIN walks
            -- Whoever need not share more ends here, even while others go on.
            WHERE depth > 0 AND (NOT crowded OR depth = deepest OR depth >= elements - spare)
        )
        SELECT l.name_id AS left_id, r.name_id AS right_id
        FROM ends l JOIN ends r USING (node)
        WHERE l.system < r.system AND NOT l.left_out AND NOT r.left_out
          -- Alike sets differ in (1 - t) / (1 + t) of their elements at the most. (A thousandth of leeway for the float.)
          AND l.spared + r.spared
              < (l.size + r.size) * (1 - %(min_similarity)s::float) / (1 + %(min_similarity)s::float) + 0.001
          AND bit_count((l.bits # r.bits)::bit(64))
              < (l.size + r.size) * (1 - %(min_similarity)s::float) / (1 + %(min_similarity)s::float) + 0.001
        UNION ALL
        SELECT name_id, NULL FROM ends WHERE left_out
    ) AS met
),
-- By words, names that met a crowd with which they were not compared.
crowded_out AS (
    SELECT source, count(*) AS names FROM candidates JOIN names ON name_id = left_id WHERE right_id IS NULL GROUP BY source
),
alike AS (
    SELECT left_id, right_id, l.source AS left_source, r.source AS right_source, similarity,
           row_number() OVER (PARTITION BY left_id, r.source ORDER BY similarity DESC, r.canonical_id) AS left_choice,
           row_number() OVER (PARTITION BY right_id, l.source ORDER BY similarity DESC, l.canonical_id) AS right_choice
    FROM candidates
    JOIN names l ON l.name_id = left_id
    JOIN names r ON r.name_id = right_id
    CROSS JOIN LATERAL (SELECT extensions.similarity(l.compared_name, r.compared_name) AS similarity) AS compared
    WHERE similarity >= %(min_similarity)s::real
      AND NOT EXISTS (SELECT FROM settled WHERE settled.name_id = left_id AND settled.source = r.source)
      AND NOT EXISTS (SELECT FROM settled WHERE settled.name_id = right_id AND settled.source = l.source)
),
matched AS (
    SELECT left_id, right_id, left_source, right_source, 1::real AS similarity, true AS equal FROM equals
    UNION ALL
    SELECT left_id, right_id, left_source, right_source, similarity, false
    FROM alike WHERE left_choice = 1 AND right_choice = 1
),
-- The entity that stands for a name is its first by canonical id. What only one side says anything of is no discrepancy.
compared AS (
    SELECT left_source, right_source, similarity, equal,
           l.canonical_id AS left_id, le.name AS left_name, l.entities AS left_entities,
           r.canonical_id AS right_id, re.name AS right_name, r.entities AS right_entities,
           num_nonnulls(le.industry = re.industry, le.country = re.country, le.revenue = re.revenue, le.employees = re.employees)
               AS compared,
           array_remove(ARRAY[
               CASE WHEN lower(le.industry) <> lower(re.industry) THEN 'industry' END,
               CASE WHEN lower(le.country) <> lower(re.country) THEN 'country' END,
               CASE WHEN abs(le.revenue - re.revenue) > 0.05 * greatest(le.revenue, re.revenue) THEN 'revenue' END,
               CASE WHEN abs(le.employees - re.employees) > 0.10 * greatest(le.employees, re.employees) THEN 'employees' END
           ], NULL) AS discrepancies
    FROM matched
    JOIN names l ON l.name_id = matched.left_id
    JOIN names r ON r.name_id = matched.right_id
    JOIN named le ON le.canonical_id = l.canonical_id
    JOIN named re ON re.canonical_id = r.canonical_id
),
matches AS MATERIALIZED (
    SELECT *,
           -- Six tenths for the name, four for the share of the compared attributes that agree; only the name where none can be.
           round(100 * similarity::numeric * CASE WHEN compared = 0 THEN 1 ELSE 0.6 END
                 + 100 * CASE WHEN compared = 0 THEN 0 ELSE 0.4 * (compared - cardinality(discrepancies)) / compared END, 2) AS quality,
           CASE WHEN left_entities > 1 OR right_entities > 1 THEN 'resolve_duplicates'
                WHEN equal AND cardinality(discrepancies) = 0 THEN 'link'
                WHEN equal THEN 'link_and_correct'
                ELSE 'review' END AS action
    FROM compared
)
SELECT 'total' AS kind, l.source AS left_system, r.source AS right_system,
       NULL::text AS left_id, NULL::text AS left_name, l.entities AS left_entities,
       NULL::text AS right_id, NULL::text AS right_name, r.entities AS right_entities,
       NULL::numeric AS similarity, totals.quality_score, NULL::text[] AS discrepancies, NULL::text AS recommended_action,
       coalesce(totals.matches, 0) AS matches, coalesce(totals.equal_names, 0) AS equal_names,
       coalesce(totals.with_discrepancies, 0) AS with_discrepancies,
       round(coalesce(totals.matches, 0)::numeric / least(l.names, r.names), 6) AS match_rate,
       CASE WHEN by_words THEN 'words' ELSE 'trigrams' END AS compared_by,
       coalesce(lc.names, 0) + coalesce(rc.names, 0) AS crowded_names
FROM rule
CROSS JOIN systems l
JOIN systems r ON r.system > l.system
LEFT JOIN crowded_out lc ON lc.source = l.source
LEFT JOIN crowded_out rc ON rc.source = r.source
LEFT JOIN (
    SELECT left_source, right_source, round(avg(quality), 2) AS quality_score, count(*) AS matches,
           count(*) FILTER (WHERE equal) AS equal_names, count(*) FILTER (WHERE discrepancies <> '{}') AS with_discrepancies
    FROM matches GROUP BY left_source, right_source
) AS totals ON totals.left_source = l.source AND totals.right_source = r.source
UNION ALL
SELECT 'match', left_source, right_source, left_id, left_name, left_entities, right_id, right_name, right_entities,
       round(similarity::numeric, 4), quality, discrepancies, action, NULL, NULL, NULL, NULL, NULL, NULL
FROM matches
ORDER BY left_system, right_system, kind DESC, quality_score DESC, left_id
