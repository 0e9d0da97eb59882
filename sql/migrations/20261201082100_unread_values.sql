-- migrate:up

-- A record of which only some values could not be read is loaded without them. Its reject keeps the errors of these values.
ALTER TABLE ingest.rejects
    ADD COLUMN kind text NOT NULL DEFAULT 'record' CHECK (kind IN ('record', 'field'));  -- what was rejected

ALTER TABLE ingest.objects
    ADD COLUMN fields_unread bigint NOT NULL DEFAULT 0;  -- values of loaded records that could not be read

-- migrate:down
ALTER TABLE ingest.objects DROP COLUMN fields_unread;
DELETE FROM ingest.rejects WHERE kind = 'field';
ALTER TABLE ingest.rejects DROP COLUMN kind;
