-- Returns how objects were read, and how their columns differ from those of the file before. Parameter: object_ids.
SELECT o.object_id, o.key, o.source, o.dataset, o.format, o.records, s.variant, s.names, s.fields, o.reading,
       d.before_key, d.fields AS vanished_fields, d.vanished, d.appeared
FROM ingest.objects o
LEFT JOIN ingest.column_sets s USING (column_set_id)
LEFT JOIN ingest.column_drift d USING (object_id)
WHERE o.object_id = ANY (%(object_ids)s) AND o.reading IS NOT NULL
ORDER BY o.key, o.object_id
