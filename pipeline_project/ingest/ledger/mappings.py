"""The mapping versions (`ingest.mappings`): which integer stands for which mapping of a source and dataset.

Rows carry the integer, because late-arriving rows are put in order by it. A load asks for it under the lock of its source
and dataset, so two workers cannot give out the same integer for different mappings. A load that is rolled back gives its
integer back.
"""

from datetime import datetime
from functools import cache
from typing import NamedTuple

from psycopg.rows import class_row

from pipeline_project.database import Connection
from pipeline_project.schema.sql_files import query
from pipeline_project.sources.source import Source


class MappingInUse(NamedTuple):
    """The newest mapping of a source and dataset."""

    source: str
    dataset: str
    version: int
    fingerprint: str | None
    """None: the version is older than the table, and the next load adopts it."""
    created_at: datetime


def mapping_version(connection: Connection, source: Source, dataset: str) -> tuple[int, bool]:
    """Return the version of the mapping that this process has, or give it the next one. Also return whether it is new.

    The caller holds the lock of the source and dataset (`lock_dataset`).
    """
    parameters = {"source": source.name, "dataset": dataset, "fingerprint": _fingerprint(source, dataset)}
    rows = connection.execute(query("ingest/ledger/mapping_version"), parameters).fetchall()
    [(version, is_new)] = rows
    return version, is_new


def mappings_in_use(connection: Connection) -> list[MappingInUse]:
    """Return the newest mapping of each source and dataset that was ever loaded."""
    with connection.cursor(row_factory=class_row(MappingInUse)) as cursor:
        return cursor.execute(query("ingest/ledger/mappings_in_use")).fetchall()


@cache
def _fingerprint(source: Source, dataset: str) -> str:
    """Return the fingerprint of a mapping. It takes a millisecond, which is long for a small object."""
    return source.fingerprint(dataset)
