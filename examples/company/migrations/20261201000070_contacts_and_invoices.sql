-- migrate:up

-- Made by `pipeline migrations make contacts_and_invoices` from the declaration of the datasets.

CREATE TABLE canonical.contacts (
    contact_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ordinal integer NOT NULL,
    mapping_version integer NOT NULL,
    version integer NOT NULL,
    quality_score real NOT NULL,
    record_digest uuid NOT NULL,
    content_hash uuid NOT NULL,
    deleted boolean NOT NULL,
    canonical_id text NOT NULL,
    source text NOT NULL,
    attributes jsonb NOT NULL,
    source_id text GENERATED ALWAYS AS (substr(canonical_id, length(source) + 2)) VIRTUAL,
    customer_canonical_id text,
    name text,
    email text,
    job_title text,
    PRIMARY KEY (contact_id),
    UNIQUE (canonical_id),
    CHECK (deleted OR name IS NOT NULL)
);

CREATE TABLE canonical.contact_versions (
    contact_id bigint NOT NULL,
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    valid_to timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    ordinal integer NOT NULL,
    mapping_version integer NOT NULL,
    version integer NOT NULL,
    quality_score real NOT NULL,
    record_digest uuid NOT NULL,
    content_hash uuid NOT NULL,
    deleted boolean NOT NULL,
    attributes jsonb NOT NULL,
    customer_canonical_id text,
    name text,
    email text,
    job_title text,
    PRIMARY KEY (contact_id, version)
);

CREATE TABLE canonical.contact_confirmation_blocks (
    block bigint NOT NULL,
    object_id bigint NOT NULL,
    object_modified_at timestamptz NOT NULL,
    source text NOT NULL,
    mapping_version integer NOT NULL,
    latest_updated_at timestamptz NOT NULL,
    contact_ids bigint[] NOT NULL,
    source_updated_ats timestamptz[] NOT NULL,
    ordinals integer[] NOT NULL
);
CREATE INDEX ON canonical.contact_confirmation_blocks (block, object_id);
CREATE INDEX ON canonical.contact_confirmation_blocks (block, latest_updated_at);

-- An object says one thing about a row: the last that the newest mapping read.
CREATE VIEW canonical.contact_confirmations AS
SELECT DISTINCT ON (b.block, c.contact_id, b.object_id)
    b.block, c.contact_id, b.object_id, c.source_updated_at, b.object_modified_at, c.ordinal, b.mapping_version
FROM canonical.contact_confirmation_blocks b
CROSS JOIN LATERAL unnest(b.contact_ids, b.source_updated_ats, b.ordinals) AS c (contact_id, source_updated_at, ordinal)
ORDER BY b.block, c.contact_id, b.object_id, b.mapping_version DESC, c.source_updated_at DESC, c.ordinal DESC;

CREATE VIEW analytics.contacts AS
SELECT canonical_id, source, source_id, customer_canonical_id, name, email, job_title, attributes,
    jsonb_build_object(
        'object_id', object_id, 'ordinal', ordinal, 'source_id', source_id,
        'mapping_version', mapping_version, 'quality_score', quality_score) AS metadata,
    quality_score, version, source_updated_at, created_at, updated_at
FROM canonical.contacts
WHERE NOT deleted;

CREATE VIEW analytics.contact_versions AS
SELECT e.canonical_id, e.source, v.version, v.deleted, v.customer_canonical_id, v.name, v.email, v.job_title, v.attributes,
    v.source_updated_at AS valid_from, v.valid_to, v.recorded_at
FROM canonical.contact_versions v JOIN canonical.contacts e USING (contact_id);

CREATE TABLE canonical.invoices (
    source_updated_at timestamptz NOT NULL,
    object_modified_at timestamptz NOT NULL,
    object_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ordinal integer NOT NULL,
    content_hash uuid NOT NULL,
    deleted boolean NOT NULL,
    canonical_id text NOT NULL,
    source text NOT NULL,
    attributes jsonb NOT NULL,
    customer_canonical_id text,
    issue_date date,
    due_date date,
    amount numeric,
    currency text,
    PRIMARY KEY (canonical_id),
    CHECK (deleted OR amount IS NOT NULL),
    CHECK (due_date IS NULL OR due_date >= issue_date)
);

CREATE VIEW analytics.invoices AS
SELECT canonical_id, source, customer_canonical_id, issue_date, due_date, amount, currency, attributes
FROM canonical.invoices
WHERE NOT deleted;

GRANT SELECT, INSERT, UPDATE ON canonical.contacts TO pipeline_loader;

GRANT SELECT, INSERT, UPDATE, DELETE ON canonical.contact_versions TO pipeline_loader;

GRANT SELECT, INSERT, UPDATE, DELETE ON canonical.contact_confirmation_blocks TO pipeline_loader;

GRANT SELECT ON canonical.contact_confirmations TO pipeline_loader;

GRANT SELECT, INSERT, UPDATE ON canonical.invoices TO pipeline_loader;

COMMENT ON TABLE canonical.contacts IS 'People at customers, with their history.';
COMMENT ON COLUMN canonical.contacts.contact_id IS 'Surrogate key. It never changes.';
COMMENT ON COLUMN canonical.contacts.source_updated_at IS 'When the source last changed the record.';
COMMENT ON COLUMN canonical.contacts.object_modified_at IS 'When the object with the record was uploaded.';
COMMENT ON COLUMN canonical.contacts.object_id IS 'The object with the record, a row of ingest.objects.';
COMMENT ON COLUMN canonical.contacts.ordinal IS 'Number of the record in its object, from 1.';
COMMENT ON COLUMN canonical.contacts.created_at IS 'When the row was inserted.';
COMMENT ON COLUMN canonical.contacts.updated_at IS 'When the content last changed.';
COMMENT ON COLUMN canonical.contacts.mapping_version IS 'Version of the mapping that read the record.';
COMMENT ON COLUMN canonical.contacts.record_digest IS 'Digest of the record as it was sent, and of the mapping version. Equal digests need no mapping.';
COMMENT ON COLUMN canonical.contacts.content_hash IS 'Hash of the content. Rows with equal hashes have equal content.';
COMMENT ON COLUMN canonical.contacts.version IS 'Number of the current version, from 1.';
COMMENT ON COLUMN canonical.contacts.quality_score IS 'Share of the fields that the record sent, from 0 to 1.';
COMMENT ON COLUMN canonical.contacts.canonical_id IS 'ID in the source, after the name of the source and an underscore.';
COMMENT ON COLUMN canonical.contacts.source IS 'The source system.';
COMMENT ON COLUMN canonical.contacts.source_id IS 'ID in the source.';
COMMENT ON COLUMN canonical.contacts.deleted IS 'Whether it is a tombstone: the source deleted it.';
COMMENT ON COLUMN canonical.contacts.customer_canonical_id IS 'The customer that the person works for, after the name of the source and an underscore.';
COMMENT ON COLUMN canonical.contacts.name IS 'Name; only a tombstone has none.';
COMMENT ON COLUMN canonical.contacts.email IS 'Address for e-mail.';
COMMENT ON COLUMN canonical.contacts.job_title IS 'Job title in the source''s own words.';
COMMENT ON COLUMN canonical.contacts.attributes IS 'Everything else that was sent.';
COMMENT ON TABLE canonical.contact_versions IS 'Earlier versions: people at customers, with their history.';
COMMENT ON COLUMN canonical.contact_versions.contact_id IS 'The row of canonical.contacts.';
COMMENT ON COLUMN canonical.contact_versions.source_updated_at IS 'When the source last changed the record.';
COMMENT ON COLUMN canonical.contact_versions.object_modified_at IS 'When the object with the record was uploaded.';
COMMENT ON COLUMN canonical.contact_versions.object_id IS 'The object with the record, a row of ingest.objects.';
COMMENT ON COLUMN canonical.contact_versions.ordinal IS 'Number of the record in its object, from 1.';
COMMENT ON COLUMN canonical.contact_versions.valid_to IS 'When the next version begins. The version itself begins at source_updated_at.';
COMMENT ON COLUMN canonical.contact_versions.recorded_at IS 'When the row was inserted.';
COMMENT ON COLUMN canonical.contact_versions.mapping_version IS 'Version of the mapping that read the record.';
COMMENT ON COLUMN canonical.contact_versions.record_digest IS 'Digest of the record as it was sent, and of the mapping version. Equal digests need no mapping.';
COMMENT ON COLUMN canonical.contact_versions.content_hash IS 'Hash of the content. Rows with equal hashes have equal content.';
COMMENT ON COLUMN canonical.contact_versions.version IS 'Number of the version, from 1.';
COMMENT ON COLUMN canonical.contact_versions.quality_score IS 'Share of the fields that the record sent, from 0 to 1.';
COMMENT ON COLUMN canonical.contact_versions.deleted IS 'Whether it is a tombstone: the source deleted it.';
COMMENT ON COLUMN canonical.contact_versions.customer_canonical_id IS 'The customer that the person works for, after the name of the source and an underscore.';
COMMENT ON COLUMN canonical.contact_versions.name IS 'Name; only a tombstone has none.';
COMMENT ON COLUMN canonical.contact_versions.email IS 'Address for e-mail.';
COMMENT ON COLUMN canonical.contact_versions.job_title IS 'Job title in the source''s own words.';
COMMENT ON COLUMN canonical.contact_versions.attributes IS 'Everything else that was sent.';
COMMENT ON TABLE canonical.contact_confirmation_blocks IS 'Confirmations, many to a row: records that found their content already stored.';
COMMENT ON COLUMN canonical.contact_confirmation_blocks.block IS 'canonical.confirmation_block of each contact_id.';
COMMENT ON COLUMN canonical.contact_confirmation_blocks.object_modified_at IS 'When the object with the record was uploaded.';
COMMENT ON COLUMN canonical.contact_confirmation_blocks.object_id IS 'The object with the record, a row of ingest.objects.';
COMMENT ON COLUMN canonical.contact_confirmation_blocks.source IS 'The source system.';
COMMENT ON COLUMN canonical.contact_confirmation_blocks.mapping_version IS 'Version of the mapping that read the record.';
COMMENT ON COLUMN canonical.contact_confirmation_blocks.latest_updated_at IS 'The greatest of source_updated_ats.';
COMMENT ON COLUMN canonical.contact_confirmation_blocks.contact_ids IS 'What was confirmed. The three arrays have the same length.';
COMMENT ON COLUMN canonical.contact_confirmation_blocks.source_updated_ats IS 'When the source last changed each record.';
COMMENT ON COLUMN canonical.contact_confirmation_blocks.ordinals IS 'Number of each record in its object, from 1.';
COMMENT ON VIEW canonical.contact_confirmations IS 'Confirmations, one to a row. Filter by block too: the index begins with it.';
COMMENT ON COLUMN canonical.contact_confirmations.block IS 'canonical.confirmation_block of the contact_id.';
COMMENT ON COLUMN canonical.contact_confirmations.contact_id IS 'What was confirmed.';
COMMENT ON COLUMN canonical.contact_confirmations.source_updated_at IS 'When the source last changed the record.';
COMMENT ON COLUMN canonical.contact_confirmations.object_modified_at IS 'When the object with the record was uploaded.';
COMMENT ON COLUMN canonical.contact_confirmations.object_id IS 'The object with the record, a row of ingest.objects.';
COMMENT ON COLUMN canonical.contact_confirmations.ordinal IS 'Number of the record in its object, from 1.';
COMMENT ON COLUMN canonical.contact_confirmations.mapping_version IS 'Version of the mapping that read the record.';
COMMENT ON VIEW analytics.contacts IS 'People at customers, with their history.';
COMMENT ON COLUMN analytics.contacts.canonical_id IS 'ID in the source, after the name of the source and an underscore.';
COMMENT ON COLUMN analytics.contacts.source IS 'The source system.';
COMMENT ON COLUMN analytics.contacts.source_id IS 'ID in the source.';
COMMENT ON COLUMN analytics.contacts.customer_canonical_id IS 'The customer that the person works for, after the name of the source and an underscore.';
COMMENT ON COLUMN analytics.contacts.name IS 'Name; only a tombstone has none.';
COMMENT ON COLUMN analytics.contacts.email IS 'Address for e-mail.';
COMMENT ON COLUMN analytics.contacts.job_title IS 'Job title in the source''s own words.';
COMMENT ON COLUMN analytics.contacts.attributes IS 'Everything else that was sent.';
COMMENT ON COLUMN analytics.contacts.metadata IS 'Provenance: object, record, ID in the source, mapping version and quality score.';
COMMENT ON COLUMN analytics.contacts.quality_score IS 'Share of the fields that the record sent, from 0 to 1.';
COMMENT ON COLUMN analytics.contacts.version IS 'Number of the version, from 1.';
COMMENT ON COLUMN analytics.contacts.source_updated_at IS 'When the source last changed the record.';
COMMENT ON COLUMN analytics.contacts.created_at IS 'When the row was inserted.';
COMMENT ON COLUMN analytics.contacts.updated_at IS 'When the content last changed.';
COMMENT ON VIEW analytics.contact_versions IS 'Earlier versions, tombstones included: people at customers, with their history.';
COMMENT ON COLUMN analytics.contact_versions.canonical_id IS 'ID in the source, after the name of the source and an underscore.';
COMMENT ON COLUMN analytics.contact_versions.source IS 'The source system.';
COMMENT ON COLUMN analytics.contact_versions.version IS 'Number of the version, from 1.';
COMMENT ON COLUMN analytics.contact_versions.deleted IS 'Whether it is a tombstone: the source deleted it.';
COMMENT ON COLUMN analytics.contact_versions.customer_canonical_id IS 'The customer that the person works for, after the name of the source and an underscore.';
COMMENT ON COLUMN analytics.contact_versions.name IS 'Name; only a tombstone has none.';
COMMENT ON COLUMN analytics.contact_versions.email IS 'Address for e-mail.';
COMMENT ON COLUMN analytics.contact_versions.job_title IS 'Job title in the source''s own words.';
COMMENT ON COLUMN analytics.contact_versions.attributes IS 'Everything else that was sent.';
COMMENT ON COLUMN analytics.contact_versions.valid_from IS 'When the version begins: when the source changed the record.';
COMMENT ON COLUMN analytics.contact_versions.valid_to IS 'When the next version begins.';
COMMENT ON COLUMN analytics.contact_versions.recorded_at IS 'When the version became an earlier one.';
COMMENT ON TABLE canonical.invoices IS 'Invoices to customers, in their latest state.';
COMMENT ON COLUMN canonical.invoices.canonical_id IS 'ID in the source, after the name of the source and an underscore.';
COMMENT ON COLUMN canonical.invoices.source IS 'The source system.';
COMMENT ON COLUMN canonical.invoices.source_updated_at IS 'When the source last changed the record.';
COMMENT ON COLUMN canonical.invoices.object_modified_at IS 'When the object with the record was uploaded.';
COMMENT ON COLUMN canonical.invoices.object_id IS 'The object with the record, a row of ingest.objects.';
COMMENT ON COLUMN canonical.invoices.ordinal IS 'Number of the record in its object, from 1.';
COMMENT ON COLUMN canonical.invoices.content_hash IS 'Hash of the content. Rows with equal hashes have equal content.';
COMMENT ON COLUMN canonical.invoices.created_at IS 'When the row was inserted.';
COMMENT ON COLUMN canonical.invoices.updated_at IS 'When the content last changed.';
COMMENT ON COLUMN canonical.invoices.deleted IS 'Whether it is a tombstone: the source deleted it.';
COMMENT ON COLUMN canonical.invoices.customer_canonical_id IS 'The customer that has to pay it, after the name of the source and an underscore.';
COMMENT ON COLUMN canonical.invoices.issue_date IS 'The day on which it was issued.';
COMMENT ON COLUMN canonical.invoices.due_date IS 'The day on which it has to be paid.';
COMMENT ON COLUMN canonical.invoices.amount IS 'The amount, in `currency`.';
COMMENT ON COLUMN canonical.invoices.currency IS 'ISO 4217 code of the currency.';
COMMENT ON COLUMN canonical.invoices.attributes IS 'Everything else that was sent.';
COMMENT ON VIEW analytics.invoices IS 'Invoices to customers, in their latest state.';
COMMENT ON COLUMN analytics.invoices.canonical_id IS 'ID in the source, after the name of the source and an underscore.';
COMMENT ON COLUMN analytics.invoices.source IS 'The source system.';
COMMENT ON COLUMN analytics.invoices.customer_canonical_id IS 'The customer that has to pay it, after the name of the source and an underscore.';
COMMENT ON COLUMN analytics.invoices.issue_date IS 'The day on which it was issued.';
COMMENT ON COLUMN analytics.invoices.due_date IS 'The day on which it has to be paid.';
COMMENT ON COLUMN analytics.invoices.amount IS 'The amount, in `currency`.';
COMMENT ON COLUMN analytics.invoices.currency IS 'ISO 4217 code of the currency.';
COMMENT ON COLUMN analytics.invoices.attributes IS 'Everything else that was sent.';

-- migrate:down
