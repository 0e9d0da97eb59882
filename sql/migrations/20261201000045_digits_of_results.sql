-- migrate:up

-- Functions that estimate how long a value of a query's result is as text, without making the text. A number such as 1e131071 is
-- stored in 8 bytes and has 131,072 digits. PostgreSQL cannot stop while it writes an array of such numbers, and it holds all texts.
-- Each function gives a lower bound, so no row that fits is refused. The text has at most about 60 times as many bytes.
-- Called by: sql/analytics/custom_complex_query.sql. Requires: analytics.row_fits (20261101000021) and pipeline_analyst (…40), which
-- may call later functions of this schema.
CREATE FUNCTION analytics.least_bytes(numbers numeric[]) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(sum(scale(n) + CASE WHEN abs(n) < 1e16 THEN 1 WHEN abs(n) < 1e1000 THEN 17 WHEN abs(n) < 1e10000 THEN 1001 ELSE 10001 END), 0)
    FROM unnest(numbers) AS n
);

CREATE FUNCTION analytics.least_bytes(number numeric) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN analytics.least_bytes(ARRAY[number]);

CREATE FUNCTION analytics.least_bytes(document jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT analytics.least_bytes(array_agg(number::numeric))
    FROM jsonb_path_query(document, 'strict $.** ? (@.type() == "number")') AS number
);

CREATE FUNCTION analytics.least_bytes(documents jsonb[]) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT coalesce(sum(analytics.least_bytes(document)), 0) FROM unnest(documents) AS document);

-- Any other value that can hold several numbers, such as a row as one value or an array of ranges. Its parts are not looked at.
-- 8 KB hold at most 1,024 numbers, which are 150 MB as text.
CREATE FUNCTION analytics.least_bytes(composite anyelement) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT CASE WHEN pg_catalog.pg_column_size($1) > 8192 THEN 1000000000 ELSE 0 END';

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics TO pipeline_reader;

-- migrate:down
