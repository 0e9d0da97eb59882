"""What ingestion forgets after a while. States and rejects are kept for ever, and so is the ledger."""

from datetime import datetime

from pipeline_project.database import Connection
from pipeline_project.datasets.registry import versioned
from pipeline_project.ingest import ledger
from pipeline_project.schema.dataset import Dataset
from pipeline_project.schema.sql_files import query
from pipeline_project.schema.templates import statement

BLOCKS = 20
"""Blocks of confirmations that are looked at first; after that, as many as hold so many confirmations as CONFIRMATIONS."""
CONFIRMATIONS = 500_000
"""Of one transaction, which takes about two seconds: loads of the source wait for it."""


def prune_confirmations(connection: Connection, before: datetime) -> int:
    """Forget, of the notes that a state still held, those between its beginning and its last one, made by objects that were
    uploaded before; how many. `connection` is the loader's, in autocommit mode.

    Every export in full makes a note for each entity that did not change. All of them are needed only to place a row that
    is later than the horizon exactly.
    """
    sources = connection.execute(query("ingest/ledger/loaded_sources")).fetchall()
    return sum(_prune(connection, dataset, source, before) for dataset in versioned() for (source,) in sources)


def _prune(connection: Connection, dataset: Dataset, source: str, before: datetime) -> int:
    pruned, after, blocks = 0, -1, BLOCKS
    while True:
        which = {"source": source, "before": before, "after": after, "blocks": blocks}
        with connection.transaction():
            ledger.lock_dataset(connection, source, dataset.name)
            row = connection.execute(statement("ingest/loading/prune_confirmations", dataset), which).fetchone()
        if row is None:
            return pruned
        after, of_these, confirmations, chosen = row
        pruned += of_these
        blocks = max(CONFIRMATIONS * chosen // max(confirmations, 1), 1)
