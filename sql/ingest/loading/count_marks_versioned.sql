-- Counts the states of the timeline that the mark of a snapshot begins: deleted and brought back. Reads: timeline.
-- Parameter: snapshot_id.
SELECT count(*) FILTER (WHERE absent) AS deletes, count(*) FILTER (WHERE NOT absent) AS restores
FROM {timeline} WHERE origin = 3 AND object_id = %(snapshot_id)s
