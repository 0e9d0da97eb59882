"""What records become: rows that can be loaded, or what is wrong with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from pipeline_project.ingest.mapping.column_counts import ColumnCounts


class FieldError(NamedTuple):
    """What is wrong with a field: its name in the record, a stable rule, and a sentence for people."""

    field: str
    rule: str
    message: str


@dataclass(frozen=True)
class ObjectPosition:
    """What places an object's rows among those of others."""

    object_id: int
    modified_at: datetime

    @cached_property
    def line(self) -> str:
        """As COPY text: object_modified_at and object_id."""
        return f"{self.modified_at.isoformat()}\t{self.object_id}"


class Row(NamedTuple):
    """A record that can be loaded."""

    key: str
    updated_at: datetime
    ordinal: int
    line: str
    fields: Mapping[str, Any]
    """The validated fields, for control totals."""


@dataclass
class Rows:
    """Records of an object that can be loaded: lists of one length."""

    keys: list[str] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    """When the source last changed each."""
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
        """Of each key only the row with the greatest (time, ordinal)."""
        if len({*self.keys}) == len(self.keys):
            return self
        best: dict[str, tuple[datetime, int, int]] = {}
        for place, (key, time, ordinal) in enumerate(zip(self.keys, self.times, self.ordinals, strict=True)):
            position = (time, ordinal, place)
            best[key] = max(best.get(key, position), position)
        return self.take(sorted(place for *_, place in best.values()))

    def take(self, places: Sequence[int]) -> "Rows":
        """The rows at these places."""
        return Rows(
            [self.keys[place] for place in places],
            [self.times[place] for place in places],
            [self.ordinals[place] for place in places],
            [self.lines[place] for place in places],
        )


class Bad(NamedTuple):
    """A record that cannot be loaded. `errors` is never empty."""

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
