"""What records become: rows that can be loaded, or what is wrong with them, and what was found in their values."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple

from pipeline_project.ingest.mapping.column_counts import ColumnCounts


class FieldError(NamedTuple):
    """An error of a field: its name in the record, a stable name of the rule, and a sentence for people."""

    field: str
    rule: str
    message: str


class UnreadValue(NamedTuple):
    """A value that could not be read, and the reason. The record can be loaded without the value."""

    field: str
    value: Any
    error: FieldError
    """It has the name under which the value was sent."""


class Doubt(NamedTuple):
    """A number that can be read in two ways."""

    field: str
    name: str
    """The name under which it was sent."""
    text: str


@dataclass
class Findings:
    """What was found in the values of one record."""

    unread: list[UnreadValue] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)
    """Fields whose value shows what a point means in their column."""
    nulls: int = 0
    """How many texts stand for no value, and were left out."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Name that is a variant of an alias -> the field that has the value."""
    no_flags: set[str] = field(default_factory=set)
    """Names of the flag of a deleted record whose value is no flag."""

    @property
    def need_mapping(self) -> bool:
        """Return whether the record has to be mapped each time that it is sent, since its file is judged by its values."""
        return bool(self.unread or self.doubts)


MOST_EXAMPLES = 3
"""Examples that are kept for each column."""


@dataclass
class ColumnsSeen:
    """What was found in the columns of an object, by field. All parts are bounded by the number of fields."""

    filled: Counter[str] = field(default_factory=Counter)
    """How many rows have a value that could be read."""
    unread: Counter[str] = field(default_factory=Counter)
    """How many rows have a value that could not be read."""
    unread_examples: dict[str, list[tuple[int, UnreadValue]]] = field(default_factory=dict)
    """The first of these, each with the ordinal of its record."""
    doubts: dict[str, list[tuple[int, Doubt]]] = field(default_factory=dict)
    """The first numbers that can be read in two ways, each with the ordinal of its record."""
    settled: set[str] = field(default_factory=set)
    """Fields whose column shows what a point means."""
    nulls: int = 0
    renamed: dict[str, str] = field(default_factory=dict)
    no_flags: set[str] = field(default_factory=set)

    def add_record(self, ordinal: int, findings: Findings) -> None:
        """Add what was found in one record."""
        self.add_doubts((ordinal, doubt) for doubt in findings.doubts)
        self.settled |= findings.settled
        self.nulls += findings.nulls
        self.renamed |= findings.renamed
        self.no_flags |= findings.no_flags

    def add_row(self, ordinal: int, findings: Findings, filled: Iterable[str]) -> None:
        """Add a record that became a row, and which of its fields have a value."""
        self.add_record(ordinal, findings)
        self.filled.update(filled)
        for each in findings.unread:
            self.unread[each.field] += 1
            examples = self.unread_examples.setdefault(each.field, [])
            if len(examples) < MOST_EXAMPLES:
                examples.append((ordinal, each))

    def add_doubts(self, doubts: Iterable[tuple[int, Doubt]]) -> None:
        """Add numbers that can be read in two ways, each with the ordinal of its record."""
        for ordinal, doubt in doubts:
            known = self.doubts.setdefault(doubt.field, [])
            if len(known) < MOST_EXAMPLES and (ordinal, doubt) not in known:
                known.append((ordinal, doubt))

    def add(self, other: "ColumnsSeen") -> None:
        """Add what was found in the next records of the object."""
        self.filled += other.filled
        self.unread += other.unread
        for name, examples in other.unread_examples.items():
            known = self.unread_examples.setdefault(name, [])
            known += examples[: MOST_EXAMPLES - len(known)]
        for doubts in other.doubts.values():
            self.add_doubts(doubts)
        self.settled |= other.settled
        self.nulls += other.nulls
        self.renamed |= other.renamed
        self.no_flags |= other.no_flags

    @property
    def unsettled(self) -> dict[str, list[tuple[int, Doubt]]]:
        """Columns in which nothing shows what a point means."""
        return {name: doubts for name, doubts in self.doubts.items() if name not in self.settled}


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
    sent: Collection[str] = ()
    """The fields that have a value."""
    findings: Findings = Findings()


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
    """A record that cannot be loaded, or some of whose values cannot be read (`kind` field). `errors` is never empty."""

    key: str | None
    updated_at: datetime
    ordinal: int
    raw: bytes
    raw_complete: bool
    errors: list[FieldError]
    line: int | None = None
    kind: Literal["record", "field"] = "record"
    findings: Findings = Findings()


class Mapped(NamedTuple):
    """What became of some records, those of the fast path first."""

    rows: Rows
    bad: list[Bad]
    counts: ColumnCounts
    """The columns of the records, as sent. Of those that are not on the fast path, some are looked at."""
    unread: Sequence[Bad] = ()
    """Records that became rows without some of their values. The errors are those of the values."""
    seen: ColumnsSeen = ColumnsSeen()
