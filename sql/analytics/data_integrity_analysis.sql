-- The same company in two systems: which names belong together, where what is said of them differs, and what to do.
--
-- Names are compared by trigrams (pg_trgm). Names that are equal in both systems (lower case, without punctuation and legal form)
-- are matched first; of the rest, two are matched if each is the other's best and they are at least `min_similarity` alike.
--
-- Nothing is compared that cannot be alike, and nothing alike is missed (prefix filtering: Chaudhuri et al., ICDE 2006; with several
-- shared elements: Wang et al., SIGMOD 2012). Two sets that are alike to a share t have at least o = ceil(t * n) elements in common,
-- n being either's size. Ordered from the rarest on, their first n - o + 3 elements then have three in common (or both, where o is 2).
-- So a name has a key for each pair out of these few rare trigrams; a pair that many names share is lengthened by a third one; and
-- only names with an equal key meet. Such keys are so selective that the work grows with the number of names and
-- not with its square. Computed here and not kept in an index: a GIN index on names would slow every load for this one query.
WITH named AS MATERIALIZED (
    SELECT source, canonical_id, name, industry, country, revenue, employees,
           -- A hundred characters tell names apart; one of ten thousand would have a million keys.
           left(coalesce(nullif(btrim(regexp_replace(
               regexp_replace(translate(lower(name), '.''’', ''), '[^[:alnum:]]+', ' ', 'g'),
               '\m(inc|incorporated|ltd|limited|llc|llp|plc|gmbh|mbh|ag|kg|sa|sas|sarl|srl|spa|bv|nv|ab|as|oy|co|corp|'
               || 'corporation|company)\M', '', 'g')), ''), lower(name)), 100) AS match_name
    FROM analytics.entities
    WHERE %(systems)s::text[] IS NULL OR source = ANY (%(systems)s::text[])
),
names AS MATERIALIZED (
    SELECT source, match_name, count(*) AS entities, min(canonical_id) AS canonical_id,
           row_number() OVER ()::int AS name_id
    FROM named
    GROUP BY source, match_name
),
pairs AS MATERIALIZED (
    SELECT l.source AS left_source, r.source AS right_source, row_number() OVER (ORDER BY l.source, r.source) AS pair_id
    FROM (SELECT DISTINCT source FROM names) AS l JOIN (SELECT DISTINCT source FROM names) AS r ON r.source > l.source
),
equals AS MATERIALIZED (
    SELECT pair_id, l.name_id AS left_id, r.name_id AS right_id
    FROM pairs
    JOIN names l ON l.source = left_source
    JOIN names r ON r.source = right_source AND r.match_name = l.match_name
),
-- Each name once for each pair of systems in which it has no equal. With set operators, which hash whatever the planner
-- guesses of the sizes: it takes anti joins for cheap here and loops.
open AS MATERIALIZED (
    SELECT pair_id, name_id, source = right_source AS on_right FROM names JOIN pairs ON source IN (left_source, right_source)
    EXCEPT (SELECT pair_id, left_id, false FROM equals UNION ALL SELECT pair_id, right_id, true FROM equals)
),
trigrams AS MATERIALIZED (
    SELECT name_id, extensions.show_trgm(match_name) AS trigrams
    FROM names JOIN (SELECT DISTINCT name_id FROM open) AS left_over USING (name_id)
),
rarity AS MATERIALIZED (
    SELECT trigram, row_number() OVER (ORDER BY count(*), trigram)::int AS rarity
    FROM trigrams, unnest(trigrams) AS trigram
    GROUP BY trigram
),
prefixes AS MATERIALIZED (
    SELECT name_id, size, needed, (array_agg(rarity ORDER BY rarity))[1:size - needed + 3] AS prefix
    FROM (
        SELECT name_id, cardinality(trigrams) AS size, unnest(trigrams) AS trigram,
               ceil(%(min_similarity)s::numeric * cardinality(trigrams))::int AS needed
        FROM trigrams
    ) AS each_trigram
    JOIN rarity USING (trigram)
    GROUP BY name_id, size, needed
),
-- A key brings along all that the join needs, so that there is nothing to join but keys.
pair_keys AS MATERIALIZED (
    SELECT name_id, size, needed, on_right, prefix[place + inner_place + 1:] AS rest,
           (pair_id << 56) + (rarer::bigint << 28) + commoner AS key
    FROM prefixes JOIN open USING (name_id),
         unnest(prefix) WITH ORDINALITY AS outer_trigram (rarer, place),
         unnest(prefix[place + 1:]) WITH ORDINALITY AS inner_trigram (commoner, inner_place)
),
common AS MATERIALIZED (
    SELECT key FROM pair_keys GROUP BY key HAVING count(*) > 20
),
keys AS MATERIALIZED (
    SELECT name_id, size, on_right, key, 0 AS third
    FROM pair_keys LEFT JOIN common USING (key)
    WHERE common.key IS NULL OR needed < 3
    UNION ALL
    SELECT name_id, size, on_right, key, third
    FROM pair_keys JOIN common USING (key), unnest(rest) AS third
),
candidates AS (
    SELECT DISTINCT l.key >> 56 AS pair_id, l.name_id AS left_id, r.name_id AS right_id
    FROM (SELECT * FROM keys WHERE NOT on_right) AS l
    JOIN (SELECT * FROM keys WHERE on_right) AS r ON r.key = l.key AND r.third = l.third
    -- Sets of too different a size cannot be alike enough. (A thousandth of leeway for the float.)
    WHERE l.size >= %(min_similarity)s::float * r.size - 0.001 AND r.size >= %(min_similarity)s::float * l.size - 0.001
),
alike AS (
    SELECT candidates.*, similarity,
           row_number() OVER (PARTITION BY candidates.pair_id, left_id ORDER BY similarity DESC, r.canonical_id) AS left_choice,
           row_number() OVER (PARTITION BY candidates.pair_id, right_id ORDER BY similarity DESC, l.canonical_id) AS right_choice
    FROM candidates
    JOIN names l ON l.name_id = left_id
    JOIN names r ON r.name_id = right_id
    CROSS JOIN LATERAL (SELECT extensions.similarity(l.match_name, r.match_name) AS similarity) AS compared
    WHERE similarity >= %(min_similarity)s::real
),
matched AS (
    SELECT pair_id, left_id, right_id, 1::real AS similarity, true AS equal FROM equals
    UNION ALL
    SELECT pair_id, left_id, right_id, similarity, false FROM alike WHERE left_choice = 1 AND right_choice = 1
),
-- The entity that stands for a name is its first by canonical id. What only one side says anything of is no discrepancy.
compared AS (
    SELECT pairs.pair_id, left_source, right_source, similarity, equal,
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
    JOIN pairs USING (pair_id)
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
SELECT 'total' AS kind, pairs.left_source AS left_system, pairs.right_source AS right_system,
       NULL::text AS left_id, NULL::text AS left_name, left_names.entities AS left_entities,
       NULL::text AS right_id, NULL::text AS right_name, right_names.entities AS right_entities,
       NULL::numeric AS similarity,
       (SELECT round(avg(quality), 2) FROM matches WHERE matches.pair_id = pairs.pair_id) AS quality_score,
       NULL::text[] AS discrepancies, NULL::text AS recommended_action,
       totals.matches, totals.equal_names, totals.with_discrepancies,
       round(totals.matches::numeric / nullif(least(left_names.names, right_names.names), 0), 6) AS match_rate
FROM pairs
JOIN (SELECT source, count(*) AS names, sum(entities)::bigint AS entities FROM names GROUP BY source) AS left_names
    ON left_names.source = left_source
JOIN (SELECT source, count(*) AS names, sum(entities)::bigint AS entities FROM names GROUP BY source) AS right_names
    ON right_names.source = right_source
CROSS JOIN LATERAL (
    SELECT count(*) AS matches, count(*) FILTER (WHERE equal) AS equal_names,
           count(*) FILTER (WHERE discrepancies <> '{}') AS with_discrepancies
    FROM matches WHERE matches.pair_id = pairs.pair_id
) AS totals
UNION ALL
SELECT 'match', left_source, right_source, left_id, left_name, left_entities, right_id, right_name, right_entities,
       round(similarity::numeric, 4), quality, discrepancies, action, NULL, NULL, NULL, NULL
FROM matches
ORDER BY left_system, right_system, kind DESC, quality_score DESC, left_id
