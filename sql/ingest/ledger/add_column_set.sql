-- Adds a set of columns unless it exists. Parameters: its columns.
INSERT INTO ingest.column_sets (column_set_id, source, dataset, variant, names, fields)
VALUES (%(column_set_id)s, %(source)s, %(dataset)s, %(variant)s, %(names)s::text[], %(fields)s::text[])
ON CONFLICT DO NOTHING
