"""Count which columns records have, and in how many records each column has a value. The column report is made of it."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline_project.ingest.decoding import UNREADABLE, RawRecord, decode
from pipeline_project.ingest.mapping.struct_columns import Column, Path, is_missing

MOST_COLUMNS = 1_000
"""Columns that are counted. A JSON file can use IDs as names, and its report stays small."""
LOOKED_AT = 32
"""Records of a chunk that are decoded only to be counted. Records on the fast path are counted from its columns instead."""


@dataclass
class ColumnCounts:
    """The columns of records that were looked at."""

    records: int = 0
    filled: Counter[Path] = field(default_factory=Counter)
    """In how many of the records each column has a value. A column that was always sent as null has 0."""

    def add(self, other: "ColumnCounts") -> None:
        self.records += other.records
        for path, count in other.filled.items():
            if path in self.filled or len(self.filled) < MOST_COLUMNS:
                self.filled[path] += count


def count_columns(columns: Mapping[Path, Column], rests: Iterable[Mapping[str, Any]]) -> Counter[Path]:
    """Count the values of decoded columns, and of the fields that have no column. This is a hot path."""
    counts: Counter[Path] = Counter()
    for path, column in columns.items():
        if all(column):
            counts[path] = len(column)
            continue
        empty = [value for value in column if not value]
        missing = sum(map(is_missing, empty))
        # A column of "" only is one that these records do not have.
        if missing < len(column) or None in empty:
            counts[path] = len(column) - missing
    for rest in rests:
        counts.update((name,) for name in rest)
    return counts


def a_few(places: Sequence[int]) -> Sequence[int]:
    """Return at most LOOKED_AT of these places, from the first to the last."""
    return places[:: len(places) // LOOKED_AT + 1]


def count_singly(records: Iterable[RawRecord], nested: Collection[str]) -> ColumnCounts:
    """Decode these records and count their columns. `nested`: names of objects whose fields are columns."""
    counts = ColumnCounts()
    for record in records:
        try:
            fields = decode(record)
        except UNREADABLE:
            continue
        if isinstance(fields, dict):
            counts.records += 1
            for name, value in fields.items():
                if name in nested and isinstance(value, dict):
                    for inner, each in value.items():
                        counts.filled[name, inner] += not is_missing(each)
                else:
                    counts.filled[name,] += not is_missing(value)
    return counts
