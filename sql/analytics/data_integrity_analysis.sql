-- The same company in two systems: which names belong together, where what is said of them differs, and what to do.
--
-- Names are compared by trigrams (pg_trgm). Names that are equal in both systems (lower case, without punctuation and legal form)
-- are matched first; of the rest, two are matched if each is the other's best and they are at least `min_similarity` alike.
--
-- Nothing is compared that cannot be alike, and nothing alike is missed (prefix filtering: Chaudhuri et al., ICDE 2006; with two
-- shared elements: Wang et al., SIGMOD 2012). Two sets that are alike to a share t have at least o = ceil(t * n) elements in common,
-- n being either's size; ordered from the rarest on, their first n - o + 2 elements then have at least two in common. So each
-- name has a key for each pair out of these few rare trigrams, and only names with an equal key meet. Pairs of rare trigrams are
-- so selective that the work grows with the number of names and not with its square. Computed here, in a
-- few seconds for 200,000 names, and not kept in an index: a GIN index on names would cost every load for this one query.
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
equals AS MATERIALIZED (
    SELECT l.name_id AS left_id, r.name_id AS right_id, l.source AS left_source, r.source AS right_source
    FROM names l JOIN names r ON r.match_name = l.match_name AND r.source > l.source
),
settled AS (
    SELECT name_id, array_agg(other) AS others
    FROM (SELECT left_id, right_source FROM equals UNION ALL SELECT right_id, left_source FROM equals) AS e (name_id, other)
    GROUP BY name_id
),
-- Names that at least one other system does not have.
open AS MATERIALIZED (
    SELECT name_id, source, match_name, coalesce(others, '{}') AS others
    FROM names LEFT JOIN settled USING (name_id)
    WHERE coalesce(cardinality(others), 0) < (SELECT count(DISTINCT source) - 1 FROM names)
),
trigrams AS MATERIALIZED (
    SELECT name_id, extensions.show_trgm(match_name) AS trigrams FROM open
),
rarity AS MATERIALIZED (
    SELECT trigram, row_number() OVER (ORDER BY count(*), trigram)::int AS rarity
    FROM trigrams, unnest(trigrams) AS trigram
    GROUP BY trigram
),
prefixes AS MATERIALIZED (
    SELECT name_id, size, (array_agg(rarity ORDER BY rarity))[1:size - ceil(%(min_similarity)s::numeric * size)::int + 2] AS prefix
    FROM (SELECT name_id, cardinality(trigrams) AS size, unnest(trigrams) AS trigram FROM trigrams) AS each_trigram
    JOIN rarity USING (trigram)
    GROUP BY name_id, size
),
keys AS MATERIALIZED (
    SELECT name_id, size, (prefix[i]::bigint << 32) + prefix[j] AS key
    FROM prefixes, generate_series(1, cardinality(prefix) - 1) AS i, generate_series(i + 1, cardinality(prefix)) AS j
),
candidates AS (
    SELECT DISTINCT l.name_id AS left_id, r.name_id AS right_id
    FROM (SELECT * FROM keys JOIN open USING (name_id)) AS l
    JOIN (SELECT * FROM keys JOIN open USING (name_id)) AS r ON r.key = l.key AND r.source > l.source
    -- Sets of too different a size cannot be alike enough.
    WHERE l.size >= %(min_similarity)s::numeric * r.size AND r.size >= %(min_similarity)s::numeric * l.size
      AND NOT r.source = ANY (l.others) AND NOT l.source = ANY (r.others)
)
SELECT count(*) from candidates
