-- migrate:up

-- Which columns files had, and which field each was read as: one row for each distinct set, which many objects share.
CREATE TABLE ingest.column_sets (
    column_set_id bigint PRIMARY KEY,       -- first 63 bits of a hash of the columns below, so that no two workers disagree
    source text NOT NULL,
    dataset text NOT NULL,
    variant text NOT NULL,                  -- the keys of the variant of the declaration; empty: the declaration itself
    names text[] NOT NULL,                  -- as sent; a name inside an object follows the object's name and a dot
    fields text[] NOT NULL,                 -- of each name: the field that it was read as; null: it became an attribute
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (cardinality(names) = cardinality(fields))
);
GRANT SELECT, INSERT ON ingest.column_sets TO pipeline_loader;

-- No foreign key: it would lock the shared row in each load. Rows of column_sets are never deleted.
ALTER TABLE ingest.objects
    ADD COLUMN column_set_id bigint,
    ADD COLUMN reading jsonb,               -- shape, records looked at, of each column how often it was filled, notes
    ADD COLUMN vanished text[];             -- fields that the file before still had; null: none

-- A file is compared with the one before it.
CREATE INDEX objects_with_columns ON ingest.objects (source, dataset, last_modified, object_id)
    WHERE column_set_id IS NOT NULL;

-- How the columns of a file differ from those of the file before it: the newest older one of its source, dataset and variant.
-- A file has no row if it has no such file before it, or if nothing differs.
-- `fields`: fields that the file before had, and this file has not; or that were filled above half, and now never are.
-- JSON names the columns of each record. Some of its records are looked at, so only columns that most of them have count.
CREATE VIEW ingest.column_drift AS
SELECT o.object_id, before.object_id AS before_id, before.key AS before_key, d.fields, d.vanished, d.appeared
FROM ingest.objects o
JOIN ingest.column_sets c USING (column_set_id)
CROSS JOIN LATERAL (
    SELECT b.object_id, b.key, b.records, b.reading, s.column_set_id, s.names, s.fields
    FROM ingest.objects b JOIN ingest.column_sets s USING (column_set_id)
    WHERE b.source = o.source AND b.dataset = o.dataset AND s.variant = c.variant
      AND (b.last_modified, b.object_id) < (o.last_modified, o.object_id)
      AND b.state IN ('loaded', 'loaded_with_rejects')
    ORDER BY b.last_modified DESC, b.object_id DESC LIMIT 1
) before
CROSS JOIN LATERAL (
    SELECT (o.reading ->> 'header')::boolean AND (before.reading ->> 'header')::boolean AS headers,
           least(o.records, before.records) >= 100 AS enough,  -- records, to compare how often a column is filled
           (o.reading ->> 'records')::bigint AS looked_at, (before.reading ->> 'records')::bigint AS looked_at_before
) n
CROSS JOIN LATERAL (
    SELECT
        ARRAY(
            SELECT was.field
            FROM (SELECT u.field, sum(u.filled::bigint) AS filled
                  FROM ROWS FROM (unnest(before.fields), jsonb_array_elements_text(before.reading -> 'filled')) u (field, filled)
                  WHERE u.field IS NOT NULL GROUP BY u.field) was
            LEFT JOIN (SELECT u.field, sum(u.filled::bigint) AS filled
                       FROM ROWS FROM (unnest(c.fields), jsonb_array_elements_text(o.reading -> 'filled')) u (field, filled)
                       GROUP BY u.field) is_now USING (field)
            WHERE (n.headers AND is_now.field IS NULL)
               OR (n.enough AND coalesce(is_now.filled, 0) = 0 AND was.filled * 2 > n.looked_at_before)
            ORDER BY was.field
        ) AS fields,
        ARRAY(
            SELECT u.name || coalesce(' (' || u.field || ')', '')
            FROM ROWS FROM (unnest(before.names), unnest(before.fields), jsonb_array_elements_text(before.reading -> 'filled'))
                 WITH ORDINALITY u (name, field, filled, place)
            WHERE u.name <> ALL (c.names) AND (n.headers OR (n.enough AND u.filled::bigint * 2 > n.looked_at_before))
            ORDER BY u.place
        ) AS vanished,
        ARRAY(
            SELECT u.name
            FROM ROWS FROM (unnest(c.names), jsonb_array_elements_text(o.reading -> 'filled'))
                 WITH ORDINALITY u (name, filled, place)
            WHERE u.name <> ALL (before.names) AND (n.headers OR (n.enough AND u.filled::bigint * 2 > n.looked_at))
            ORDER BY u.place
        ) AS appeared
) d
-- Most files have the columns of the file before, and are compared no further.
WHERE (c.column_set_id <> before.column_set_id OR o.reading -> 'filled' @> '0')
  AND cardinality(d.fields) + cardinality(d.vanished) + cardinality(d.appeared) > 0;
GRANT SELECT ON ingest.column_drift TO pipeline_loader;

-- migrate:down
