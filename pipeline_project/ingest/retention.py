"""What ingestion forgets after a while. States and rejects are kept for ever, and so is the ledger."""

from datetime import datetime

from pipeline_project.canonical.sql_files import query
from pipeline_project.database import Connection

AT_ONCE = 50_000
"""Rows of one transaction."""


def prune_confirmations(connection: Connection, before: datetime) -> int:
    """Forget, of the notes that a state still held, those between its beginning and its last one, made by objects that were
    uploaded before; how many. `connection` is the loader's, in autocommit mode.

    Every export in full makes a note for each entity that did not change. All of them are needed only to place a row that
    is later than the horizon exactly.
    """
    pruned = 0
    while True:
        found = connection.execute(query("ingest/prune_confirmations"), {"before": before, "rows": AT_ONCE}).rowcount
        pruned += found
        if found < AT_ONCE:
            return pruned
