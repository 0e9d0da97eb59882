-- Returns the states of the objects that the ledger has.
-- Parameter: object_ids.
SELECT object_id, state FROM ingest.objects WHERE object_id = ANY (%(object_ids)s)
