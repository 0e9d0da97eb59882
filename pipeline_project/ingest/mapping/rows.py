"""The results of mapping: rows that can be loaded, and the errors of records that cannot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from pipeline_project.ingest.mapping.column_counts import ColumnCounts


class FieldError(NamedTuple):
    """An error of a field: its name in the record, a stable name of the rule, and a sentence for people."""

    field: str
    rule: str
    message: str


@dataclass(frozen=True)
class ObjectPosition:
    """The part of a row's position that all rows of an object share."""

    object_id: int
    modified_at: datetime

    @cached_property
    def line(self) -> str:
        """object_modified_at and object_id as COPY text."""
        return f"{self.modified_at.isoformat()}\t{self.object_id}"


class Row(NamedTuple):
    """A valid record, as a row for COPY."""

    key: str
    updated_at: datetime
    ordinal: int
    line: str
    fields: Mapping[str, Any]
    """The validated fields, for control totals."""


@dataclass
class Rows:
    """Valid records of an object, as lists of the same length."""

    keys: list[str] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    """Times at which the source last changed the records."""
    ordinals: list[int] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def append(self, row: Row) -> None:
        self.keys.append(row.key)
        self.times.append(row.updated_at)
        self.ordinals.append(row.ordinal)
        self.lines.append(row.line)

    def extend(self, others: "Rows") -> None:
        self.keys += others.keys
        self.times += others.times
        self.ordinals += others.ordinals
        self.lines += others.lines

    def deduplicated(self) -> "Rows":
        """Keep one row for each key: the row with the greatest (time, ordinal)."""
        if len({*self.keys}) == len(self.keys):
            return self
        best: dict[str, tuple[datetime, int, int]] = {}
        for place, (key, time, ordinal) in enumerate(zip(self.keys, self.times, self.ordinals, strict=True)):
            position = (time, ordinal, place)
            best[key] = max(best.get(key, position), position)
        return self.take(sorted(place for *_, place in best.values()))

    def take(self, places: Sequence[int]) -> "Rows":
        """Return the rows at these places."""
        return Rows(
            [self.keys[place] for place in places],
            [self.times[place] for place in places],
            [self.ordinals[place] for place in places],
            [self.lines[place] for place in places],
        )


class Bad(NamedTuple):
    """An invalid record. `errors` is never empty."""

    key: str | None
    updated_at: datetime
    ordinal: int
    raw: bytes
    raw_complete: bool
    errors: list[FieldError]
    line: int | None = None


class Mapped(NamedTuple):
    """The rows and the invalid records of a chunk, those of the fast path first."""

    rows: Rows
    bad: list[Bad]
    counts: ColumnCounts
    """The columns of the records. Of those that are not on the fast path, some are looked at."""
