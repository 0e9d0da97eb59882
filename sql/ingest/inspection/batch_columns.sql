-- Returns the columns of a run's objects: what each was read as, in how many objects it is, and how often it was filled.
-- Parameter: object_ids.
SELECT o.dataset, u.name, u.field, count(*) AS objects, sum(u.filled::bigint)::bigint AS filled,
       sum((o.reading ->> 'records')::bigint)::bigint AS looked_at
FROM ingest.objects o
JOIN ingest.column_sets s USING (column_set_id)
CROSS JOIN LATERAL ROWS FROM (unnest(s.names), unnest(s.fields), jsonb_array_elements_text(o.reading -> 'filled'))
    WITH ORDINALITY u (name, field, filled, place)
WHERE o.object_id = ANY (%(object_ids)s)
GROUP BY o.dataset, u.name, u.field
ORDER BY o.dataset, min(u.place), u.name
