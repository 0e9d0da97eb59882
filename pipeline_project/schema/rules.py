"""Rules about more than one field of a record.

A rule is declared once and used four times: for one record, for columns of many records, as a CHECK constraint of the
table, and as a sentence.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Columns = Mapping[str, Sequence[Any]]
"""Values of many records by field, as COPY text. A missing value is an empty text. `deleted` has `t` for a tombstone."""


@dataclass(frozen=True)
class Rule:
    """A condition that each record of a dataset meets."""

    name: str
    """Name of the error that a record gets, for example `missing`."""
    field: str
    """The field that the error is about."""
    check: str
    """The condition as PostgreSQL's CHECK has it."""
    holds: Callable[[Mapping[str, Any]], bool]
    """True if the fields of a record meet it. `deleted` says whether the record is a tombstone."""
    broken: Callable[[Columns], list[int]]
    """The places of records that do not meet it, or may not meet it."""
    message: str
    """What to tell about a record that does not meet it."""


def required_unless_deleted(field: str, message: str) -> Rule:
    """Require a field in each record that is no tombstone."""

    def broken(columns: Columns) -> list[int]:
        values = columns[field]
        if "" not in values:
            return []
        pairs = zip(values, columns["deleted"], strict=True)
        return [place for place, (value, tombstone) in enumerate(pairs) if value == "" and tombstone == "f"]

    return Rule(
        "missing",
        field,
        f"deleted OR {field} IS NOT NULL",
        lambda values: values[field] is not None or values["deleted"],
        broken,
        message,
    )


def not_before(field: str, start: str, message: str) -> Rule:
    """Require that a day is not before another day. A day that was not sent meets the rule."""

    def broken(columns: Columns) -> list[int]:
        # Days of ISO 8601 are in the order of their texts.
        pairs = zip(columns[field], columns[start], strict=True)
        return [place for place, (day, first) in enumerate(pairs) if day and day < first]

    return Rule(
        "before_start",
        field,
        f"{field} IS NULL OR {field} >= {start}",
        lambda values: (day := values[field]) is None or (first := values[start]) is None or day >= first,
        broken,
        message,
    )
