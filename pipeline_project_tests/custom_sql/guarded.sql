-- Statements that the guard lets pass only since it writes them as calls of bounded functions. PostgreSQL could not stop them otherwise.
WITH big AS (SELECT string_agg(chr(n), '') AS t FROM generate_series(256, 55000) AS n) SELECT pg_catalog.translate(t, t, 'z') FROM big
WITH big AS (SELECT string_agg(chr(n), '') AS t FROM generate_series(256, 55000) AS n) SELECT trim(both t from reverse(t)) FROM big
WITH big AS (SELECT string_agg(U&'\0301\0327', '') AS t FROM generate_series(1, 10000)) SELECT normalize(t, NFD) FROM big
WITH big AS (SELECT string_agg(U&'\0301\0327', '') AS t FROM generate_series(1, 10000)) SELECT t IS NFD NORMALIZED FROM big
WITH big AS (SELECT array_agg(n) AS a, array_agg(-n) AS b FROM generate_series(1, 60000) AS n) SELECT a OPERATOR(pg_catalog.&&) b FROM big
WITH big AS (SELECT string_agg('a', '') AS t FROM generate_series(1, 1000000)) SELECT position('b' || left(t, 500000) IN t) FROM big
