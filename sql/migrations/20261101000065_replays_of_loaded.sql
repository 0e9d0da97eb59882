-- migrate:up

-- The state an object was loaded in, as long as a replay of it waits or is under way: if that is refused, the object is
-- what it was before. Null otherwise.
ALTER TABLE ingest.objects ADD COLUMN loaded_as text CHECK (loaded_as IN ('loaded', 'loaded_with_rejects'));

-- migrate:down
