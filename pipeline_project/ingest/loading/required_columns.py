"""Refuse a file that lacks a column which its declaration requires (`require`), whether its records are stored or not."""

from collections.abc import Collection, Iterable

from pipeline_project.ingest.decoding import UNREADABLE, Chunk, Notes, ObjectFault, RawRecord, decode
from pipeline_project.schema.names import folded

SHOWN = 10
"""Columns that the error lists."""


class RequiredColumns:
    """The required columns that were not found in a file so far. Case, blanks and hyphens of names do not matter."""

    def __init__(self, names: Collection[str]) -> None:
        self._missing = {folded(name): name for name in names}
        self._seen: dict[str, None] = {}
        self._has_records = False

    def look_for(self, chunk: Chunk) -> None:
        """Look for the columns in the records of a chunk. Mostly the first record has all of them."""
        self._has_records |= bool(chunk.records)
        for record in chunk.records if self._missing else ():
            self._find(_names(record))
            if not self._missing:
                return

    def refuse_if_missing(self, notes: Notes) -> None:
        """Raise ObjectFault if a column is missing. A table names its columns even if it has no records."""
        self._find(notes.columns)
        if self._missing and (self._has_records or notes.columns):
            named = ", ".join(f'"{name}"' for name in self._missing.values())
            columns = ", ".join(list(self._seen)[:SHOWN])
            raise ObjectFault(
                "missing_column",
                f"the file has no column {named}, which `require` under `[dialect]` names. Its columns are {columns}. Export "
                "the file with the column, or remove the name from `require`",
            )

    def _find(self, names: Iterable[str]) -> None:
        for name in names:
            if len(self._seen) < SHOWN:
                self._seen[name] = None
            self._missing.pop(folded(name), None)


def _names(record: RawRecord) -> Collection[str]:
    try:
        fields = decode(record)
    except UNREADABLE:
        return ()
    return fields if isinstance(fields, dict) else ()
