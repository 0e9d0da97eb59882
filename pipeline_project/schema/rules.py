"""Rules about more than one field of a record.

A rule is declared once and used four times: for one record, for columns of many records, as a CHECK constraint of the
table, and as a sentence.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Columns = Mapping[str, Sequence[Any]]
"""Values of many records by field, as COPY text. A missing value is an empty text."""


@dataclass(frozen=True)
class Rule:
    """A condition that each record of a dataset meets."""

    name: str
    """Name of the error that a record gets, for example `missing`."""
    field: str
    """The field that the error is about."""
    check: str
    """The condition as PostgreSQL's CHECK has it."""
    holds: Callable[[Any, bool], bool]
    """Whether a record meets it. The second argument says whether the record is a tombstone."""
    broken: Callable[[Columns, Sequence[str]], list[int]]
    """The places of records that do not meet it, or may not meet it. The second argument has `t` for each tombstone."""
    message: str
    """What to tell about a record that does not meet it."""


def required_unless_deleted(field: str, message: str) -> Rule:
    """Require a field in each record that is no tombstone."""

    def broken(columns: Columns, deleted: Sequence[str]) -> list[int]:
        values = columns[field]
        if "" not in values:
            return []
        pairs = zip(values, deleted, strict=True)
        return [place for place, (value, tombstone) in enumerate(pairs) if value == "" and tombstone == "f"]

    return Rule(
        "missing",
        field,
        f"deleted OR {field} IS NOT NULL",
        lambda record, deleted: deleted or getattr(record, field) is not None,
        broken,
        message,
    )


def not_before(field: str, start: str, message: str) -> Rule:
    """Require that a day is not before another day. A day that was not sent meets the rule."""

    def broken(columns: Columns, _deleted: Sequence[str]) -> list[int]:
        # Days of ISO 8601 are in the order of their texts.
        pairs = zip(columns[field], columns[start], strict=True)
        return [place for place, (day, first) in enumerate(pairs) if day and day < first]

    return Rule(
        "before_start",
        field,
        f"{field} IS NULL OR {field} >= {start}",
        lambda record, _deleted: (
            (day := getattr(record, field)) is None or (first := getattr(record, start)) is None or day >= first
        ),
        broken,
        message,
    )
