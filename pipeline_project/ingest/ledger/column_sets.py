"""The sets of columns that files had (`ingest.column_sets`), and the fields that the columns were read as.

Many objects share a set. Its ID is a hash of its content, so a worker needs no round trip to find it.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from pipeline_project.database import Connection
from pipeline_project.schema.sql_files import query


@dataclass(frozen=True, kw_only=True)
class ColumnSet:
    """The columns of an object as they were sent, and the field that each was read as."""

    source: str
    dataset: str
    variant: str
    """The keys of the variant of the declaration. Empty if none fits the object."""
    names: tuple[str, ...]
    fields: tuple[str | None, ...]
    """The field of each name. None: the column became an attribute."""

    @cached_property
    def column_set_id(self) -> int:
        """Return the ID. It has 63 bits, so that it fits into a bigint."""
        content = json.dumps((self.source, self.dataset, self.variant, self.names, self.fields)).encode()
        return int.from_bytes(hashlib.sha256(content).digest()[:8]) >> 1


def add_column_sets(connection: Connection, sets: Iterable[ColumnSet]) -> None:
    """Add those of these sets that the ledger does not have."""
    distinct = {each.column_set_id: each for each in sets}
    entries = [{"column_set_id": set_id, **vars(each)} for set_id, each in sorted(distinct.items())]
    for entry in entries:
        entry.update(names=list(entry["names"]), fields=list(entry["fields"]))
    if entries:
        with connection.cursor() as cursor:
            cursor.executemany(query("ingest/ledger/add_column_set"), entries)


def note_vanished(connection: Connection, object_ids: Iterable[int]) -> None:
    """Record of each object which fields the file before it still had."""
    connection.execute(query("ingest/ledger/note_vanished"), {"object_ids": list(object_ids)})
