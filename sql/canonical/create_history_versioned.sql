CREATE TABLE {blocks} (
    block bigint NOT NULL,
    object_id bigint NOT NULL,
    object_modified_at timestamptz NOT NULL,
    source text NOT NULL,
    mapping_version integer NOT NULL,
    latest_updated_at timestamptz NOT NULL,
    {ids} bigint[] NOT NULL,
    source_updated_ats timestamptz[] NOT NULL,
    ordinals integer[] NOT NULL
);
CREATE INDEX ON {blocks} (block, object_id);
CREATE INDEX ON {blocks} (block, latest_updated_at);

-- An object says one thing about a row: the last that the newest mapping read.
CREATE VIEW {confirmations} AS
SELECT DISTINCT ON (b.block, c.{id}, b.object_id)
    b.block, c.{id}, b.object_id, c.source_updated_at, b.object_modified_at, c.ordinal, b.mapping_version
FROM {blocks} b
CROSS JOIN LATERAL unnest(b.{ids}, b.source_updated_ats, b.ordinals) AS c ({id}, source_updated_at, ordinal)
ORDER BY b.block, c.{id}, b.object_id, b.mapping_version DESC, c.source_updated_at DESC, c.ordinal DESC;
