-- The state of each of these objects that the ledger knows.
SELECT object_id, state FROM ingest.objects WHERE object_id = ANY (%(object_ids)s)
