-- migrate:up

-- A rotation changes the reader's password in a session of the reader's own, which must not start read-only. That of the platform
-- does so by itself (pipeline_project/database.py); to write anything, the reader has no right in either.
ALTER ROLE pipeline_reader RESET default_transaction_read_only;

-- migrate:down
