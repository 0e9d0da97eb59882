-- migrate:up

-- "Still so at this position", kept together. Each export in full confirms nearly all that is there: a row of its own and an
-- entry of an index took more than all else that an unchanged record costs.
CREATE FUNCTION canonical.confirmation_block(entity_id bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN entity_id / 64;
GRANT EXECUTE ON FUNCTION canonical.confirmation_block(bigint) TO pipeline_loader;

-- What an object says of neighbouring entities. An object may have several rows for a block, and may even speak of an
-- entity in more than one of them: the view has what counts.
CREATE TABLE canonical.entity_confirmation_blocks (
    block bigint NOT NULL,                  -- confirmation_block of each entity
    object_id bigint NOT NULL,
    object_modified_at timestamptz NOT NULL,
    source text NOT NULL,
    mapping_version integer NOT NULL,
    latest_updated_at timestamptz NOT NULL, -- the greatest of source_updated_ats
    entity_ids bigint[] NOT NULL,           -- these three are as long as each other
    source_updated_ats timestamptz[] NOT NULL,
    ordinals integer[] NOT NULL
);
INSERT INTO canonical.entity_confirmation_blocks (
    block, object_id, object_modified_at, source, mapping_version, latest_updated_at,
    entity_ids, source_updated_ats, ordinals)
SELECT canonical.confirmation_block(entity_id), c.object_id, c.object_modified_at, e.source, c.mapping_version,
    max(c.source_updated_at), array_agg(entity_id), array_agg(c.source_updated_at), array_agg(c.ordinal)
FROM canonical.entity_confirmations c JOIN canonical.entities e USING (entity_id)
GROUP BY 1, 2, 3, 4, 5;
CREATE INDEX entity_confirmation_blocks_block ON canonical.entity_confirmation_blocks (block, object_id);
DROP TABLE canonical.entity_confirmations;

-- An object says one thing about an entity: the last that the newest mapping read. Ask for the block, too.
CREATE VIEW canonical.entity_confirmations AS
SELECT DISTINCT ON (b.block, c.entity_id, b.object_id)
    b.block, c.entity_id, b.object_id, c.source_updated_at, b.object_modified_at, c.ordinal, b.mapping_version
FROM canonical.entity_confirmation_blocks b
CROSS JOIN LATERAL unnest(b.entity_ids, b.source_updated_ats, b.ordinals) AS c (entity_id, source_updated_at, ordinal)
ORDER BY b.block, c.entity_id, b.object_id, b.mapping_version DESC, c.source_updated_at DESC, c.ordinal DESC;

GRANT SELECT, INSERT, UPDATE, DELETE ON canonical.entity_confirmation_blocks TO pipeline_loader;
GRANT SELECT ON canonical.entity_confirmations TO pipeline_loader;

-- migrate:down
