-- Returns how the columns of a run's objects differ from those of the files before. Parameter: object_ids.
SELECT o.key, d.before_key, d.fields, d.vanished, d.appeared
FROM ingest.column_drift d JOIN ingest.objects o USING (object_id)
WHERE d.object_id = ANY (%(object_ids)s)
ORDER BY cardinality(d.fields) DESC, o.key
