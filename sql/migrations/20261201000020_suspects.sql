-- migrate:up

-- How many objects the worker that holds this object has open at once, this object included. Null: it has not opened it.
ALTER TABLE ingest.objects ADD COLUMN opened_with integer;

-- A worker died while it had the object open. Until the object has an end, it is loaded in a process of its own.
ALTER TABLE ingest.objects ADD COLUMN suspect boolean NOT NULL DEFAULT false;

-- A replay reads the objects of a source, or of a day, page by page.
CREATE INDEX objects_of_source ON ingest.objects (source, discovered_at, object_id);

-- A replay by source also looks for objects that arrived before the source was registered.
CREATE INDEX objects_unroutable ON ingest.objects (key COLLATE "C", object_id) WHERE state = 'unroutable';

-- The transitions that states.py lists. The condition itself is the list: a permitted change calls no function.
CREATE FUNCTION ingest.refuse_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an object cannot go from state % to state %', old.state, new.state
        USING ERRCODE = 'check_violation', CONSTRAINT = 'object_transitions', TABLE = 'objects', SCHEMA = 'ingest';
END $$;

CREATE TRIGGER object_transitions BEFORE UPDATE OF state ON ingest.objects FOR EACH ROW
WHEN (old.state <> new.state AND (old.state, new.state) NOT IN (
    ('unroutable', 'discovered'),
    ('discovered', 'claimed'),
    ('claimed', 'discovered'),
    ('claimed', 'loaded'), ('claimed', 'loaded_with_rejects'), ('claimed', 'failed'), ('claimed', 'superseded'),
    ('loaded_with_rejects', 'loaded'),
    ('loaded', 'discovered'), ('loaded_with_rejects', 'discovered'), ('failed', 'discovered'), ('superseded', 'discovered')))
EXECUTE FUNCTION ingest.refuse_transition();

-- migrate:down
