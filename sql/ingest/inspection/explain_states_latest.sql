-- Returns the row of a dataset without history, with the object that it comes from.
-- The columns are those of explain_states_versioned.sql. Columns about versions are null.
-- Parameter: key, an array of the values of the key's columns as text.
SELECT NULL::integer AS version, NULL::timestamptz AS valid_to,
       (to_jsonb(t) ->> 'updated_at')::timestamptz AS recorded_at, to_jsonb(t) AS state, o.key,
       0 AS confirmations, NULL::timestamptz AS mapping_since, c.names, c.fields
FROM {table} t LEFT JOIN ingest.objects o USING (object_id)
LEFT JOIN ingest.column_sets c USING (column_set_id)
WHERE ({t.key}) = ({key values})
