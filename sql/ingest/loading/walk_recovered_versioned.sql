-- Makes the members that a forgotten snapshot got through a late part marks of their own, and chooses them to be walked.
-- Writes: walked. Parameter: snapshot_id.
WITH recovered AS (
    DELETE FROM ingest.snapshot_members WHERE snapshot_id = %(snapshot_id)s RETURNING block, members
),
marked AS (
    INSERT INTO ingest.snapshot_marks AS k (row_id, snapshot_id, present)
    SELECT block * length(members) + place, %(snapshot_id)s, true
    FROM recovered CROSS JOIN LATERAL generate_series(0, length(members) - 1) AS place
    WHERE get_bit(members, place) = 1
    ON CONFLICT (row_id, snapshot_id) DO UPDATE SET present = true
    RETURNING row_id
)
INSERT INTO {walked} ({id}) SELECT row_id FROM marked
