"""Rules about more than one field of a record.

A rule is declared once and used three times: for one record, as a CHECK constraint of the table, and as a sentence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """A condition that each record of a dataset meets."""

    name: str
    """Name of the error that a record gets, for example `missing`."""
    field: str
    """The field that the error is about."""
    check: str
    """The condition as PostgreSQL's CHECK has it."""
    holds: Callable[[Any], bool]
    """Whether a record meets it."""
    message: str
    """What to tell about a record that does not meet it."""


def required_unless_deleted(field: str, message: str) -> Rule:
    """Require a field in each record that is no tombstone."""
    return Rule(
        "missing",
        field,
        f"deleted OR {field} IS NOT NULL",
        lambda record: record.deleted or getattr(record, field) is not None,
        message,
    )


def not_before(field: str, start: str, message: str) -> Rule:
    """Require that a day is not before another day. A day that was not sent meets the rule."""
    return Rule(
        "before_start",
        field,
        f"{field} IS NULL OR {field} >= {start}",
        lambda record: getattr(record, field) is None or getattr(record, field) >= getattr(record, start),
        message,
    )
