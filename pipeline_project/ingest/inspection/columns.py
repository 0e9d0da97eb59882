"""The column report: which column was read as which field, how often it was filled, and what differs from the file before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from pipeline_project.database import Connection
from pipeline_project.datasets.registry import datasets
from pipeline_project.ingest.decoding import NOTES
from pipeline_project.ingest.inspection.hints import hints
from pipeline_project.schema.fields import aliases
from pipeline_project.schema.sql_files import query
from pipeline_project.sources.registry import sources


class ColumnUse(NamedTuple):
    """A column as it was sent, and what became of it."""

    name: str
    field: str | None
    """None: the column became an attribute."""
    filled: int
    """In how many of the records that were looked at."""
    hint: str | None
    """The field that the column may be meant for."""
    unread: int = 0
    """How many values could not be read."""
    unread_examples: Sequence[str] = ()


class NoteLine(NamedTuple):
    """A note about an object, with a few places that it is about."""

    sentence: str
    times: int
    samples: str


@dataclass(frozen=True, kw_only=True)
class ColumnReport:
    """How one object was read."""

    object_id: int
    key: str
    format: str
    shape: Mapping[str, Any]
    """Facts about the file, for example its encoding and its delimiter."""
    records: int
    looked_at: int
    """Records that the counts of the columns are about. Records that are already stored are not all looked at."""
    columns: Sequence[ColumnUse]
    notes: Sequence[NoteLine]
    before: str | None
    """The file before. None if there is none, or if nothing differs from it."""
    vanished: Sequence[str]
    """Columns of the file before that this file has not, with their fields."""
    appeared: Sequence[str]
    lost: Sequence[str]
    """Fields that the file before had, and that this file has not or never fills."""

    def filled(self, column: ColumnUse) -> str:
        """Return how often a column was filled, as text."""
        return filled_text(column.filled, self.looked_at, all_of=self.looked_at == self.records)


def column_reports(connection: Connection, object_ids: Sequence[int]) -> list[ColumnReport]:
    """Return the column reports of objects that were read."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query("ingest/inspection/column_reports"), {"object_ids": list(object_ids)})
        return [_report(row) for row in rows]


def filled_text(filled: int, looked_at: int, *, all_of: bool) -> str:
    """Return how often a column was filled: the number of records, or their share if only some were looked at."""
    if not filled:
        return "never"
    return f"{filled:,}" if all_of else f"{filled / looked_at:.0%} of {looked_at:,} looked at"


def _report(row: dict[str, Any]) -> ColumnReport:
    reading, names, fields = row["reading"], row["names"] or [], row["fields"] or []
    unmatched = [name for name, field in zip(names, fields, strict=True) if field is None]
    meant = hints(unmatched, _aliases(row["source"], row["dataset"]), fields)
    return ColumnReport(
        object_id=row["object_id"],
        key=row["key"],
        format=row["format"] or "unknown",
        shape=reading["shape"],
        records=row["records"],
        looked_at=reading["records"],
        columns=[
            ColumnUse(name, field, filled, meant.get(name), *_unread(reading, field))
            for name, field, filled in zip(names, fields, reading["filled"], strict=True)
        ],
        notes=[_note(code, note) for code, note in reading["notes"].items()],
        before=row["before_key"],
        vanished=row["vanished"] or [],
        appeared=row["appeared"] or [],
        lost=row["vanished_fields"] or [],
    )


def _unread(reading: Mapping[str, Any], field: str | None) -> tuple[int, Sequence[str]]:
    """Return how many values of a field could not be read, and some of them."""
    unread = reading["unread"].get(field)
    return (unread["count"], unread["samples"]) if unread else (0, ())


def _note(code: str, note: Mapping[str, Any]) -> NoteLine:
    samples = [f'line {line}: "{text}"' if line else f'"{text}"' for line, text in note["samples"]]
    # A release may have dropped the code of an older file.
    return NoteLine(NOTES.get(code, code), note["count"], ", ".join(samples))


def _aliases(source: str, dataset: str) -> dict[str, str]:
    """Return the names that a source has for the fields of a dataset, without the objects around them."""
    if source not in sources() or dataset not in datasets():
        return {}
    fields = sources()[source].record(dataset).model_fields
    return {path[-1]: name for name, field in fields.items() for path in aliases(name, field)}
