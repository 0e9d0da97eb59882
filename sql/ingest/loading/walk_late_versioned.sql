-- Chooses the entities of late-arriving rows to be walked against the marks of snapshots. Reads: late. Writes: walked.
INSERT INTO {walked} ({id})
SELECT {id} FROM {table} WHERE canonical_id = ANY ((SELECT array_agg(canonical_id) FROM {late})::text[])
