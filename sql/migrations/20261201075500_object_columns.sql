-- migrate:up

-- What each column of a file was read as, for queries of people and for REST.
CREATE VIEW analytics.object_columns AS
SELECT o.object_id, o.key, o.source, o.dataset, o.last_modified, u.place, u.name AS column_name, u.field,
       u.filled::bigint AS filled, (o.reading ->> 'records')::bigint AS looked_at
FROM ingest.objects o
JOIN ingest.column_sets s USING (column_set_id)
CROSS JOIN LATERAL ROWS FROM (unnest(s.names), unnest(s.fields), jsonb_array_elements_text(o.reading -> 'filled'))
    WITH ORDINALITY u (name, field, filled, place);

COMMENT ON VIEW analytics.object_columns IS 'The columns that files had, and what each was read as.';
COMMENT ON COLUMN analytics.object_columns.object_id IS 'Hash of bucket, key and version.';
COMMENT ON COLUMN analytics.object_columns.key IS 'Key in the landing bucket.';
COMMENT ON COLUMN analytics.object_columns.source IS 'The source system.';
COMMENT ON COLUMN analytics.object_columns.dataset IS 'The dataset of the records.';
COMMENT ON COLUMN analytics.object_columns.last_modified IS 'When the file was uploaded.';
COMMENT ON COLUMN analytics.object_columns.place IS 'Number of the column, from 1.';
COMMENT ON COLUMN analytics.object_columns.column_name IS 'Name of the column as it was sent.';
COMMENT ON COLUMN analytics.object_columns.field IS 'The field that the column was read as. Null: it became an attribute.';
COMMENT ON COLUMN analytics.object_columns.filled IS 'How many of the records that were looked at fill the column.';
COMMENT ON COLUMN analytics.object_columns.looked_at IS 'How many records were looked at. Of stored records, some are.';

-- migrate:down
