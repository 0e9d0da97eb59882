-- Records which fields the file before each of these objects still had. Requires: the objects are settled.
-- Parameter: object_ids.
UPDATE ingest.objects o SET vanished = d.fields
FROM ingest.column_drift d
WHERE d.object_id = o.object_id AND o.object_id = ANY (%(object_ids)s) AND cardinality(d.fields) > 0
