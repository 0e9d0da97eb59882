"""The records of an object, as all formats give them: chunks of JSON texts, and the envelope around them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipeline_project.ingest.decoding.limits import RECORD_LIMIT
from pipeline_project.ingest.decoding.notes import Notes

RawRecord = bytes | msgspec.Raw

Flaw = tuple[str, str]
"""An error of a record that is not decoded: a stable rule and a message."""
OVERSIZE: Flaw = ("too_large", f"is larger than {RECORD_LIMIT:,} bytes: split the record")


@dataclass
class Chunk:
    """Consecutive records of an object. `first_ordinal` is the number of the first one, counted from 1."""

    first_ordinal: int
    records: list[RawRecord]
    flaws: Mapping[int, Flaw] = field(default_factory=dict)
    """Index -> error of a record that could not be decoded. A record that is too large has only its beginning here."""
    line: Callable[[int], int | None] = lambda _: None
    """Return the line, counted from 1, on which the record with an index begins. None if it is not known."""


@dataclass
class Envelope:
    """Everything about an object beside its records. Complete after all records are read."""

    format: str = "unknown"
    fields: dict[str, Any] = field(default_factory=dict)
    """The fields next to the records that are kept (KEPT_FIELDS)."""
    notes: Notes = field(default_factory=Notes)
