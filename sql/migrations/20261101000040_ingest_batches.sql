-- migrate:up

-- The batch an object was last given to: the tag of the Dagster run that was asked to load it, or that run's id. While
-- such a run lives, nobody asks for another one.
ALTER TABLE ingest.objects ADD COLUMN batch text, ADD COLUMN batched_at timestamptz;

-- migrate:down
