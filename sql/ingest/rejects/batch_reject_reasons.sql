-- Returns the reasons why rows were rejected, most frequent first, each with one example.
-- Parameter: object_ids.
SELECT error ->> 'field' AS field, error ->> 'message' AS message, count(*) AS rows,
       (array_agg(key || ', record ' || ordinal ORDER BY reject_id))[1] AS example
FROM ingest.rejects
JOIN ingest.objects USING (object_id)
CROSS JOIN LATERAL jsonb_array_elements(errors) AS error
WHERE object_id = ANY (%(object_ids)s) AND status = 'open'
GROUP BY 1, 2
ORDER BY rows DESC, field, message
LIMIT 20
