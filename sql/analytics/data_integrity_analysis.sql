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
systems AS MATERIALIZED (
    SELECT source, (row_number() OVER (ORDER BY source))::int AS system, count(*) AS names, sum(entities)::bigint AS entities
    FROM names GROUP BY source
),
equals AS MATERIALIZED (
    SELECT l.name_id AS left_id, r.name_id AS right_id, l.source AS left_source, r.source AS right_source
    FROM names l JOIN names r ON r.match_name = l.match_name AND r.source > l.source
),
-- The systems in which a name has its equal, as bits.
settled AS (
    SELECT name_id, bit_or(1::bigint << system) AS settled
    FROM (SELECT left_id, right_source FROM equals UNION ALL SELECT right_id, left_source FROM equals) AS e (name_id, source)
    JOIN systems USING (source)
    GROUP BY name_id
),
-- Names that have no equal in one other system at the least.
open AS MATERIALIZED (
    SELECT name_id, system, coalesce(settled, 0) AS settled, extensions.show_trgm(match_name) AS trigrams
    FROM names JOIN systems USING (source) LEFT JOIN settled USING (name_id)
    WHERE bit_count(coalesce(settled, 0)::bit(64)) < (SELECT count(*) - 1 FROM systems)
),
rarity AS MATERIALIZED (
    SELECT trigram, row_number() OVER (ORDER BY count(*), trigram)::int AS rarity
    FROM open, unnest(trigrams) AS trigram
    GROUP BY trigram
),
prefixes AS MATERIALIZED (
    SELECT name_id, system, settled, size, needed, (array_agg(rarity ORDER BY rarity))[1:size - needed + 3] AS prefix
    FROM (
        SELECT name_id, system, settled, cardinality(trigrams) AS size, unnest(trigrams) AS trigram,
               ceil(%(min_similarity)s::numeric * cardinality(trigrams))::int AS needed
        FROM open
    ) AS each_trigram
    JOIN rarity USING (trigram)
    GROUP BY name_id, system, settled, size, needed
),
-- A key brings along all that the join needs, so that there is nothing to join but keys. Shifted by 20 and not by 32: PostgreSQL
-- hashes a bigint by folding its halves, which would leave a few thousand values of them all. (Two pairs with one key, possible
-- from a million different trigrams on, would cost a comparison and change nothing.)
pair_keys AS MATERIALIZED (
    SELECT name_id, system, settled, size, needed, place + inner_place AS last_place, (rarer::bigint << 20) + commoner AS key
    FROM prefixes,
         unnest(prefix[:size - needed + 2]) WITH ORDINALITY AS outer_trigram (rarer, place),
         unnest(prefix[place + 1:size - needed + 2]) WITH ORDINALITY AS inner_trigram (commoner, inner_place)
),
common AS MATERIALIZED (
    SELECT key FROM pair_keys GROUP BY key HAVING count(*) > 10
),
keys AS MATERIALIZED (
    SELECT name_id, system, settled, size, key, 0 AS third
    FROM pair_keys LEFT JOIN common USING (key)
    WHERE common.key IS NULL OR needed < 3
    UNION ALL
    SELECT name_id, pair_keys.system, pair_keys.settled, pair_keys.size, key, third
    FROM pair_keys JOIN common USING (key) JOIN prefixes USING (name_id), unnest(prefix[last_place + 1:]) AS third
),
candidates AS (
    SELECT DISTINCT l.name_id AS left_id, r.name_id AS right_id
    FROM keys l JOIN keys r ON r.key = l.key AND r.third = l.third
    WHERE r.system > l.system AND l.settled >> r.system & 1 = 0 AND r.settled >> l.system & 1 = 0
      -- Sets of too different a size cannot be alike enough. (A thousandth of leeway for the float.)
      AND l.size >= %(min_similarity)s::float * r.size - 0.001 AND r.size >= %(min_similarity)s::float * l.size - 0.001
),
alike AS (
    SELECT left_id, right_id, l.source AS left_source, r.source AS right_source, similarity,
           row_number() OVER (PARTITION BY left_id, r.source ORDER BY similarity DESC, r.canonical_id) AS left_choice,
           row_number() OVER (PARTITION BY right_id, l.source ORDER BY similarity DESC, l.canonical_id) AS right_choice
    FROM candidates
    JOIN names l ON l.name_id = left_id
    JOIN names r ON r.name_id = right_id
    CROSS JOIN LATERAL (SELECT extensions.similarity(l.match_name, r.match_name) AS similarity) AS compared
    WHERE similarity >= %(min_similarity)s::real
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
       round(coalesce(totals.matches, 0)::numeric / least(l.names, r.names), 6) AS match_rate
FROM systems l
JOIN systems r ON r.system > l.system
LEFT JOIN (
    SELECT left_source, right_source, round(avg(quality), 2) AS quality_score, count(*) AS matches,
           count(*) FILTER (WHERE equal) AS equal_names, count(*) FILTER (WHERE discrepancies <> '{}') AS with_discrepancies
    FROM matches GROUP BY left_source, right_source
) AS totals ON totals.left_source = l.source AND totals.right_source = r.source
UNION ALL
SELECT 'match', left_source, right_source, left_id, left_name, left_entities, right_id, right_name, right_entities,
       round(similarity::numeric, 4), quality, discrepancies, action, NULL, NULL, NULL, NULL
FROM matches
ORDER BY left_system, right_system, kind DESC, quality_score DESC, left_id
