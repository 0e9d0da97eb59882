"""Rows as bytes: JSON, NDJSON, CSV and Parquet, a batch at a time. Knows nothing of S3.

Money is exact in all four. JSON has no NaN and no infinity: they become the texts "NaN", "Infinity" and "-Infinity", as
PostgreSQL and protobuf write them. CSV has the same words, and Parquet has the floats themselves. JSON numbers with more than
4,300 digits in a row become text, since Python and other readers refuse them. If a caller wants numbers as text, each number
in a row of JSON and NDJSON is text, and so is each column of numbers in Parquet. CSV is text in any case.
"""

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any, Protocol

import msgspec

from pipeline_project.analytics.execution import Column, Row, Rows
from pipeline_project.results.options import Format, Numbers, ResultOptions
from pipeline_project.results.texts import JSON, as_text, json_bytes, readable, with_numbers_as_text, worded


class Encoder(Protocol):
    """Gives the bytes of a file in order: `start`, then each `batch`, then `end`. `rows` counts."""

    rows: int

    def start(self) -> bytes: ...
    def batch(self, rows: Sequence[Row]) -> bytes: ...
    def end(self, truncated: bool, /) -> bytes: ...


def encoder(options: ResultOptions, columns: Sequence[Column]) -> Encoder:
    """Make the encoder of a format."""
    match options.format:
        case Format.PARQUET:
            # Late, since only jobs write Parquet: the Lambda goes without pyarrow.
            from pipeline_project.results.parquet import ParquetEncoder  # noqa: PLC0415

            return ParquetEncoder(columns, options.numbers)
        case Format.JSON:
            return JsonEncoder(columns, options.numbers)
        case Format.NDJSON:
            return NdjsonEncoder(columns, options.numbers)
        case Format.CSV:
            return CsvEncoder(columns)


def within(rows: Rows, options: ResultOptions, room: int) -> Iterator[list[Row]]:
    """Give the batches up to the last row that fits into `room` bytes. If rows are left out, `rows` is truncated.

    Rows count as they are written. Parquet compresses many rows together, so its rows count as those of NDJSON.
    """
    counted = Format.NDJSON if options.format is Format.PARQUET else options.format
    single = encoder(msgspec.structs.replace(options, format=counted), rows.columns)
    for batch in rows:
        kept = 0
        for row in batch:
            room -= len(single.batch([row]))
            if room < 0:
                break
            kept += 1
        if kept:
            yield batch[:kept]
        if kept < len(batch):
            rows.truncated = True
            return


FLOATS = ("real", "double precision")


def _is_finite(value: Any) -> bool:
    match value:
        case float():
            return isfinite(value)
        case list():
            return all(map(_is_finite, value))
        case _:
            return True


class _Lines:
    """Rows as JSON objects, a line each. A struct and not a dict for each row: half the time."""

    def __init__(self, columns: Sequence[Column], numbers: Numbers) -> None:
        self._names = [column.name for column in columns]
        self._floats = [n for n, column in enumerate(columns) if column.type.removesuffix("[]") in FLOATS]
        self._finish = with_numbers_as_text if numbers is Numbers.TEXT else readable
        fields = [f"column_{n}" for n in range(len(self._names))]
        renamed = dict(zip(fields, self._names, strict=True))
        self._row = msgspec.defstruct("Row", fields, rename=renamed, gc=False)

    def encode(self, rows: Sequence[Row]) -> bytes:
        lines = JSON.encode_lines([self._row(*row) for row in rows])
        # A float that is no number has become null.
        if b"NaN" in lines or b"Infinity" in lines or (self._floats and b"null" in lines and self._has_words(rows)):
            lines = JSON.encode_lines([self._row(*map(worded, row)) for row in rows])
        return self._finish(lines)

    def _has_words(self, rows: Sequence[Row]) -> bool:
        return any(not _is_finite(row[n]) for row in rows for n in self._floats)


class JsonEncoder:
    """`{"columns": [{"name", "type"}, …], "rows": [{…}, …], "truncated": false}`"""

    def __init__(self, columns: Sequence[Column], numbers: Numbers) -> None:
        self.rows = 0
        self._columns = columns
        self._lines = _Lines(columns, numbers)

    def start(self) -> bytes:
        return b'{"columns":' + json_bytes(self._columns) + b',"rows":['

    def batch(self, rows: Sequence[Row]) -> bytes:
        separator = b",\n" if self.rows else b"\n"
        self.rows += len(rows)
        # No line ends within a line: in JSON text they are escaped.
        return separator + self._lines.encode(rows)[:-1].replace(b"\n", b",\n")

    def end(self, truncated: bool, /) -> bytes:
        return b'\n],"truncated":' + json_bytes(truncated) + b"}\n"


class NdjsonEncoder:
    """One object a line."""

    def __init__(self, columns: Sequence[Column], numbers: Numbers) -> None:
        self.rows = 0
        self._lines = _Lines(columns, numbers)

    def start(self) -> bytes:
        return b""

    def batch(self, rows: Sequence[Row]) -> bytes:
        self.rows += len(rows)
        return self._lines.encode(rows)

    def end(self, _truncated: bool, /) -> bytes:
        return b""


# https://owasp.org/www-community/attacks/CSV_Injection
FORMULA_STARTS = frozenset("=+-@\t\r\n")
_MINUS = "\u2212"
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols without ink."""


def _is_formula(text: str) -> bool:
    """Check whether a spreadsheet may run a text: it skips what has no ink, and takes wide and small signs for signs."""
    if "!" <= text[:1] <= "~":  # most texts
        return text[0] in FORMULA_STARTS
    return text[:1] in FORMULA_STARTS or next(filter(None, map(_sign, text)), "") in FORMULA_STARTS


@lru_cache(maxsize=4096)
def _sign(character: str) -> str:
    """The plain form of a character, or nothing if a spreadsheet may skip the character."""
    has_no_ink = character.isspace() or not character.isprintable() or character in _FILLERS
    if has_no_ink or unicodedata.category(character) in ("Mn", "Me"):
        return ""
    return "-" if character == _MINUS else unicodedata.normalize("NFKC", character)[:1]


class CsvEncoder:
    """RFC 4180 with a header. A text that a spreadsheet would run as a formula gets an apostrophe in front."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.rows = 0
        self._names = [column.name for column in columns]

    def start(self) -> bytes:
        return self._lines([[_cell(name) for name in self._names]])

    def batch(self, rows: Sequence[Row]) -> bytes:
        self.rows += len(rows)
        columns = [_cells(values) for values in zip(*rows, strict=True)]
        return self._lines(zip(*columns, strict=True) if columns else rows)

    def end(self, _truncated: bool, /) -> bytes:
        return b""

    @staticmethod
    def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        # A lone surrogate cannot come out of a UTF-8 database.
        return text.getvalue().encode()


_NUMBERS = frozenset((int, Decimal, float, type(None)))
_MOMENTS = frozenset((datetime, date, type(None)))


def _cells(values: Sequence[Any]) -> Sequence[Any]:
    """A column's cells: as `_cell`, but the ordinary columns at once. The csv module writes floats in full."""
    kinds = set(map(type, values))
    if kinds <= _NUMBERS:
        return values if float not in kinds or all(map(_is_finite, values)) else [_cell(value) for value in values]
    if kinds <= _MOMENTS:
        return msgspec.json.decode(JSON.encode(values))
    if kinds <= {str, type(None)}:
        return ["'" + text if text and _is_formula(text) else text for text in values]
    return [_cell(value) for value in values]


def _cell(value: Any) -> Any:
    if type(value) is float and not isfinite(value):
        return str(Decimal(value))
    if type(value) in _NUMBERS:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value if isinstance(value, str) else as_text(value)
    return "'" + text if _is_formula(text) else text
