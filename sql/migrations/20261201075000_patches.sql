-- migrate:up

-- What the records of partial sources sent. A version of an entity is the fold of its patches, so a record that arrives late
-- can change each version after it. All datasets share the table: a patch has no columns of its own dataset.
CREATE TABLE ingest.patches (
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    ordinal integer NOT NULL,
    mapping_version integer NOT NULL,
    record_digest uuid NOT NULL,
    deleted boolean NOT NULL,
    whole boolean NOT NULL,
    source text NOT NULL,
    dataset text NOT NULL,
    record_key text COLLATE "C" NOT NULL,
    fields jsonb NOT NULL,
    attributes jsonb,
    base jsonb,
    PRIMARY KEY (source, dataset, record_key, object_id, ordinal)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON ingest.patches TO pipeline_loader;

COMMENT ON TABLE ingest.patches IS 'What the records of partial sources sent. The versions of an entity are made of its patches.';
COMMENT ON COLUMN ingest.patches.source_updated_at IS 'When the source last changed the record.';
COMMENT ON COLUMN ingest.patches.object_modified_at IS 'When the object with the record was uploaded.';
COMMENT ON COLUMN ingest.patches.object_id IS 'The object with the record, a row of ingest.objects.';
COMMENT ON COLUMN ingest.patches.ordinal IS 'Number of the record in its object, from 1.';
COMMENT ON COLUMN ingest.patches.mapping_version IS 'Version of the mapping that read the record.';
COMMENT ON COLUMN ingest.patches.record_digest IS 'Digest of the record as it was sent, and of the mapping version.';
COMMENT ON COLUMN ingest.patches.deleted IS 'Whether the record is a tombstone.';
COMMENT ON COLUMN ingest.patches.whole IS 'Whether the record was loaded before the source was declared partial. Such a record keeps nothing of earlier records.';
COMMENT ON COLUMN ingest.patches.source IS 'The source system.';
COMMENT ON COLUMN ingest.patches.dataset IS 'The dataset of the record.';
COMMENT ON COLUMN ingest.patches.record_key IS 'The canonical ID.';
COMMENT ON COLUMN ingest.patches.fields IS 'The columns that the record sent. A JSON null empties the column.';
COMMENT ON COLUMN ingest.patches.attributes IS 'The attributes that the record sent. A JSON null removes the attribute. NULL if there are none.';
COMMENT ON COLUMN ingest.patches.base IS 'Fallback values of columns that the record did not send. They count for the first record of an entity. NULL if there are none.';

-- Joins the objects of patches. The later value of a field wins, also if it is a JSON null.
CREATE AGGREGATE ingest.merged(jsonb) (SFUNC = pg_catalog.jsonb_concat, STYPE = jsonb, INITCOND = '{}', PARALLEL = SAFE);
GRANT EXECUTE ON FUNCTION ingest.merged(jsonb) TO pipeline_loader;

-- migrate:down
