"""Deletes what ingestion needs for a limited time only. Versions, rejects and the ledger are kept for ever."""

from datetime import datetime

from pipeline_project.database import Connection
from pipeline_project.datasets.registry import versioned
from pipeline_project.ingest import ledger
from pipeline_project.schema.dataset import Dataset
from pipeline_project.schema.sql_files import query
from pipeline_project.schema.templates import statement

BLOCKS = 20
"""Number of blocks in the first transaction. Later transactions take as many blocks as hold about CONFIRMATIONS."""
CONFIRMATIONS = 500_000
"""Number of confirmations in one transaction, which takes about two seconds. Loads of the source wait for it."""
KEYS = 1_000
"""Number of IDs whose patches are looked at first. After that, as many as have so many patches as PATCHES."""
PATCHES = 100_000
"""Number of patches in one transaction. Loads of the source wait for it."""


def prune_confirmations(connection: Connection, before: datetime) -> int:
    """Delete confirmations of objects that were uploaded before a time. Return their number.

    A full export writes a confirmation for each row that did not change. For each version, the last confirmation stays. The
    others are needed only to place a row that arrives later than the horizon exactly. `connection` is the loader's, in
    autocommit mode.
    """
    return sum(
        _prune(connection, dataset, source, before)
        for dataset in versioned()
        for (source,) in connection.execute(query("ingest/ledger/loaded_sources"), {"dataset": dataset.name}).fetchall()
    )


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


def prune_patches(connection: Connection, before: datetime) -> int:
    """Delete patches of objects from before a time that are not needed for the end of a history. Return their number.

    `connection` is the loader's, in autocommit mode. A patch is needed if, for a field that it sends, it is the first or the
    last of the patches that send the same value.
    """
    return sum(
        _prune_patches(connection, dataset, source, before)
        for dataset in versioned()
        for (source,) in connection.execute(query("ingest/ledger/loaded_sources"), {"dataset": dataset.name}).fetchall()
    )


def _prune_patches(connection: Connection, dataset: Dataset, source: str, before: datetime) -> int:
    deleted, after, keys = 0, "", KEYS
    while True:
        which = {"source": source, "before": before, "after": after, "keys": keys}
        with connection.transaction():
            ledger.lock_dataset(connection, source, dataset.name)
            row = connection.execute(statement("ingest/patches/prune", dataset), which).fetchone()
        if row is None:
            return deleted
        after, patches, of_these = row
        deleted += of_these
        keys = max(PATCHES * keys // max(patches, 1), 1)
