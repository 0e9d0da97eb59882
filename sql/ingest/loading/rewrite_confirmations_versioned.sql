-- Writes the confirmations of the timelines. Confirmations that are right stay as they are.
-- Reads: timeline. Parameter: source.
WITH said AS (   -- objects with a late row, or with a confirmation that begins a version now
    SELECT canonical.confirmation_block({id}) AS block, object_id, array_agg({id}) AS {ids}
    FROM {timeline} WHERE origin = 0 OR (origin = 2 AND begins)
    GROUP BY 1, 2
),
there AS MATERIALIZED (
    SELECT c.*, t.{id} IS NOT NULL AS is_right
    FROM said s
    CROSS JOIN LATERAL (
        SELECT b.ctid AS place, b.object_id, b.mapping_version, c.*
        FROM {blocks} b
        CROSS JOIN LATERAL unnest(b.{ids}, b.source_updated_ats, b.ordinals) AS c ({id}, source_updated_at, ordinal)
        WHERE b.block = s.block AND b.object_id = s.object_id AND c.{id} = ANY (s.{ids}) OFFSET 0
    ) c
    LEFT JOIN {timeline} t
        ON NOT t.begins
        AND (t.{id}, t.object_id, t.source_updated_at, t.ordinal, t.mapping_version)
          = (c.{id}, c.object_id, c.source_updated_at, c.ordinal, c.mapping_version)
),
remaining AS (
    SELECT b.ctid AS place,
           max(c.source_updated_at) AS latest_updated_at,
           array_agg(c.{id}) AS {ids},
           array_agg(c.source_updated_at) AS source_updated_ats,
           array_agg(c.ordinal) AS ordinals
    FROM {blocks} b
    CROSS JOIN LATERAL unnest(b.{ids}, b.source_updated_ats, b.ordinals) AS c ({id}, source_updated_at, ordinal)
    WHERE b.ctid = ANY ((SELECT array_agg(DISTINCT place) FROM there WHERE NOT is_right)::tid[])
      AND NOT EXISTS (
          SELECT FROM there w
          WHERE NOT w.is_right AND w.place = b.ctid AND w.{id} = c.{id})
    GROUP BY b.ctid
),
emptied AS (
    DELETE FROM {blocks} b
    WHERE b.ctid = ANY ((SELECT array_agg(DISTINCT place) FROM there WHERE NOT is_right)::tid[])
      AND NOT EXISTS (SELECT FROM remaining r WHERE r.place = b.ctid)
),
shortened AS (
    UPDATE {blocks} b SET
        latest_updated_at = r.latest_updated_at, {ids} = r.{ids}, source_updated_ats = r.source_updated_ats,
        ordinals = r.ordinals
    FROM remaining r WHERE b.ctid = r.place
)
INSERT INTO {blocks} (
    block, object_id, object_modified_at, source, mapping_version, latest_updated_at,
    {ids}, source_updated_ats, ordinals)
SELECT
    canonical.confirmation_block({id}), object_id, object_modified_at, %(source)s, mapping_version,
    max(source_updated_at), array_agg({id}), array_agg(source_updated_at), array_agg(ordinal)
FROM {timeline} t
WHERE NOT begins AND origin < 2
  AND NOT EXISTS (SELECT FROM there c WHERE c.is_right AND (c.{id}, c.object_id) = (t.{id}, t.object_id))
GROUP BY 1, 2, 3, 4, 5
