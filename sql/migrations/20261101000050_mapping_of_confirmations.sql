-- migrate:up

-- Which mapping read the confirming row: what an object said under an older one is void once it is replayed.
ALTER TABLE canonical.entity_confirmations ADD COLUMN mapping_version integer NOT NULL DEFAULT 1;
ALTER TABLE canonical.entity_confirmations ALTER COLUMN mapping_version DROP DEFAULT;

-- migrate:down
