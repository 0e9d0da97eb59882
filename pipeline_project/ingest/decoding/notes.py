"""Notes about how an object was read: its shape, its columns, and how often something was skipped, renamed or repaired.

A note is no error. It is told in the column report, so that a person can see what the platform did. `NOTES` has all codes.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

MOST_SAMPLES = 3
"""Samples that are kept for each code."""
LONGEST_SAMPLE = 50
"""Characters of a sample."""
MOST_COLUMNS = 2_000
"""Names of columns that are kept."""

NOTES: Mapping[str, str] = {
    "lines_above_header": "Lines above the header were skipped.",
    "ruler": "A line of dashes under the header was skipped.",
    "repeated_header": "Rows that repeat the header were skipped.",
    "footer": "Lines at the end that are no rows were skipped.",
    "comment": "Lines of comments were skipped.",
    "empty_surplus_cells": "Empty cells after the last column were removed.",
    "filled_short_rows": "Rows with missing cells at their end were filled.",
    "renamed_column": "A column whose name occurs twice was renamed.",
    "backslash_escapes": "Quotes inside cells are written with a backslash, and were read so.",
    "double_encoded": "The text was probably encoded twice, for example `MÃ¼ller` for `Müller`. It is kept as it is.",
    "unfinished_page": "The document is one page of several: upload the other pages, too.",
    "binary_column": "A column without the type text holds bytes that are no text. The bytes are kept in base64.",
    "null_text": "Texts that stand for no value, for example `NULL`, count as not sent.",
    "renamed_field": "A field was read from a column whose name differs in case, blanks or marks.",
    "no_flag": "A column has the name of a deletion flag, but other values. It is kept as an attribute.",
    "deletion_hint": 'A column looks like a deletion flag. If it is one, declare it: `deleted = ["..."]`.',
    "field_unread": "Values could not be read. Their records were loaded without them.",
    "folder_hint": "The folder almost has the name of a dataset.",
}
"""All codes with their sentences. The documentation and the messages for people take the sentences from here."""


class Sample(NamedTuple):
    """A place that a note is about. `line` counts from 1."""

    line: int | None
    text: str


@dataclass
class Notes:
    """The notes about one object. All parts are bounded."""

    shape: dict[str, str | int] = field(default_factory=dict)
    """Facts about the file, for example `encoding` and `delimiter`. A value that was declared has ` (declared)` after it."""
    columns: dict[str, str] = field(default_factory=dict)
    """Name of a column in the records -> its name as sent, in the order of the file. Empty for JSON."""
    counts: Counter[str] = field(default_factory=Counter)
    """How often each code was noted."""
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    """A few samples for each code."""

    def add(self, code: str, count: int = 1, sample: str | None = None, line: int | None = None) -> None:
        """Count a note. Only the first samples of a code are kept. KeyError for a code that is not in NOTES."""
        if code not in NOTES:
            raise KeyError(code)
        self.counts[code] += count
        kept = self.samples.setdefault(code, [])
        if sample is not None and len(kept) < MOST_SAMPLES:
            kept.append(Sample(line, sample[:LONGEST_SAMPLE]))

    def name_columns(self, columns: Mapping[str, str]) -> None:
        """Set the columns, up to a bound: a name in the records -> the name as sent."""
        self.columns = dict(list(columns.items())[:MOST_COLUMNS])
