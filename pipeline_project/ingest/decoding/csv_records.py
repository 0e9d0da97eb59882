"""Convert CSV rows to JSON records, so that all later stages see one form.

A column without a name is named after its number (`column_3`): spreadsheets write empty columns, and pandas writes its index
without a name. Values are strings. An empty cell is missing.

Ordinary rows take one short loop around Python's reader. Rows that can be something else than records are recognized by
their first cell or by their width, and only these rows are judged.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import islice, zip_longest
from typing import Any

import msgspec

from pipeline_project.ingest.decoding import headers, limits
from pipeline_project.ingest.decoding.csv_shape import STAND_IN, CsvShape, ambiguous_escape, find_shape
from pipeline_project.ingest.decoding.csv_text import CsvText
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.notes import Notes
from pipeline_project.ingest.decoding.records import OVERSIZE, Chunk, Flaw, RawRecord
from pipeline_project.ingest.decoding.table_ends import RAGGED, without_end
from pipeline_project.ingest.decoding.window import Window
from pipeline_project.sources.dialect import Dialect

_encode = msgspec.json.Encoder().encode
_QUOTE_AFTER_BLANK = re.compile(rb':" +\\"')
_SKIPPED: Flaw = ("skipped", "is no record")


def csv_chunks(window: Window, notes: Notes, names: FieldNames, dialect: Dialect) -> Iterator[Chunk]:
    """Yield the rows of a CSV file. Empty lines and lines of delimiters only are skipped.

    Raises ObjectFault if no header is found, if the file can be read in two ways, or if it is no valid CSV.
    """
    csv.field_size_limit(limits.FIELD_LIMIT)
    text = CsvText(window, notes)
    shape = find_shape(text.sample(), names, dialect, is_whole=text.is_whole)
    for line, cells in shape.above:
        notes.add("lines_above_header", sample=shape.delimiter.join(cells), line=line)
    table = _Table(text, shape, names, dialect, notes)
    columns = [name for name in table.columns if names.is_id_value(name)]
    yield from without_end(table.chunks(), columns, notes, fills_rows=len(table.columns) == 1)


class _Table:
    """The rows below the header of a CSV file."""

    def __init__(self, text: CsvText, shape: CsvShape, names: FieldNames, dialect: Dialect, notes: Notes) -> None:
        self._text = text
        self._shape = shape
        self._names = names
        self._notes = notes
        self._fills = dialect.short_rows == "fill"
        self._line = shape.skipped_lines
        """Lines before the first line that the reader sees."""
        lines = islice(text.lines(), shape.skipped_lines, None)
        if len(shape.delimiter) > 1:
            lines = self._with_stand_in(lines)
        elif not shape.skips_blanks and dialect.quote is None:
            text.watched = f'{shape.delimiter} "'
        self._reader = shape.reader(lines)
        self._rows = self._declared_rows(dialect)
        self._header = self._read_header(dialect)
        self.columns = headers.column_names(self._header, names, notes, self._line + self._reader.line_num)
        self._check_columns()
        self._suspects = {cell for name in self._header if name.strip() for cell in (name, f"\ufeff{name}")}
        self._suspects.update(names.ids)

    def _with_stand_in(self, lines: Iterable[str]) -> Iterator[str]:
        for number, line in enumerate(lines, start=1):
            if STAND_IN in line:
                raise self._fault(
                    "bad_csv", "a control character (U+001F) is in the text: remove it", self._line + number
                )
            yield line.replace(self._shape.delimiter, STAND_IN)

    def _declared_rows(self, dialect: Dialect) -> Iterator[list[str]]:
        """Return the rows. Rows that the dialect declares to be no records are empty in it."""
        rows = self._reader
        delimiter = self._shape.delimiter
        if len(delimiter) > 1:
            rows = ([cell.replace(STAND_IN, delimiter) for cell in row] for row in rows)
        if dialect.comment:
            rows = self._emptied(rows, "comment", lambda row: row[0].startswith(dialect.comment))
        if dialect.footer:
            patterns = [re.compile(pattern) for pattern in dialect.footer]
            rows = self._emptied(
                rows, "footer", lambda row: any(pattern.search(delimiter.join(row)) for pattern in patterns)
            )
        return rows

    def _emptied(self, rows: Iterable[list[str]], code: str, is_none: Any) -> Iterator[list[str]]:
        for row in rows:
            if row and is_none(row):
                self._notes.add(code, sample=self._shape.delimiter.join(row), line=self._line + self._reader.line_num)
                yield []
            else:
                yield row

    def _read_header(self, dialect: Dialect) -> list[str]:
        found: list[list[str]] = []
        try:
            while len(found) < self._shape.header_rows:
                row = next(self._rows)
                if any(cell.strip("\ufeff ") for cell in row):
                    found.append(row)
        except StopIteration:
            pass
        except csv.Error as error:
            raise self._not_csv(error, self._line + 1) from None
        self._notes.shape["delimiter"] = self._shape.delimiter + (" (declared)" if dialect.delimiter else "")
        if found:
            self._notes.shape["header_line"] = self._line + self._reader.line_num
        if self._shape.has_escapes:
            self._notes.add("backslash_escapes")
        header = (
            found[0]
            if len(found) == 1
            else [
                " ".join(filter(None, (cell.strip() for cell in cells))) for cells in zip_longest(*found, fillvalue="")
            ]
        )
        if dialect.columns is None:
            return header
        if found and len(dialect.columns) != len(header):
            raise self._fault(
                "no_header",
                f"`columns` under `[dialect]` has {len(dialect.columns)} names, and the header has {len(header)} cells: "
                "correct `columns`",
            )
        return list(dialect.columns)

    def _check_columns(self) -> None:
        folded = self._names.folded_ids
        if not any(name in self._names.ids or headers.folded(name) in folded for name in self.columns):
            raise headers.without_id(self._line + self._reader.line_num, self._header, self._names)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows as chunks of records."""
        reader, suspects, columns, width = self._reader, self._suspects, self.columns, len(self.columns)
        rows = self._rows
        before = self._line + 1
        ordinal = 1
        records: list[RawRecord] = []
        lines: list[int] = []
        flaws: dict[int, Flaw] = {}
        size = 0
        ended = False
        is_first = True
        while not ended:
            line = reader.line_num + before
            try:
                row = next(rows)
            except StopIteration:
                ended = True
            except csv.Error as error:
                raise self._not_csv(error, line) from None
            else:
                if not any(row):
                    continue
                flaw = None
                if len(row) != width or is_first or row[0] in suspects:
                    row, flaw = self._judged(row, line)
                    if flaw is _SKIPPED:
                        continue
                    is_first = False
                if flaw is None:
                    record = _encode({name: value for name, value in zip(columns, row, strict=True) if value})
                    if len(record) > limits.RECORD_LIMIT:
                        flaws[len(records)] = OVERSIZE
                        record = record[: limits.RAW_LIMIT]
                else:
                    flaws[len(records)] = flaw
                    record = self._shape.delimiter.join(row).encode()[: limits.RAW_LIMIT]
                lines.append(line)
                records.append(record)
                size += len(record)
            if len(records) == limits.CHUNK_RECORDS or size >= limits.WINDOW or (ended and records):
                if self._text.has_watched:
                    self._check_quotes(records, lines)
                yield Chunk(ordinal, records, flaws, lambda index, lines=lines: lines[index])
                ordinal += len(records)
                records, lines, flaws, size = [], [], {}, 0

    def _judged(self, row: list[str], line: int) -> tuple[list[str], Flaw | None]:
        """Return a row that can be something else than a record, and what is wrong with it. _SKIPPED: it is no record."""
        if headers.repeats(row, self._header):
            self._notes.add("repeated_header", sample=self._shape.delimiter.join(row), line=line)
            return row, _SKIPPED
        if headers.is_ruler(row):
            self._notes.add("ruler", sample=self._shape.delimiter.join(row), line=line)
            return row, _SKIPPED
        if headers.names_other_columns(row, self._header, self._names):
            raise headers.header_changed(line, self._header)
        row, flaw = self._fitted(row, line)
        if flaw is None and headers.is_second_header(row, self._names):
            flaw = headers.HEADER_ROW
        return row, flaw

    def _fitted(self, row: list[str], line: int) -> tuple[list[str], Flaw | None]:
        """Give a row the width of the header if that loses and invents nothing. Otherwise return what is wrong."""
        width = len(self.columns)
        if len(row) == width:
            return row, None
        if len(row) > width and not any(row[width:]):
            self._notes.add("empty_surplus_cells")
            return row[:width], None
        if len(row) < width and self._fills:
            self._notes.add("filled_short_rows", sample=self._shape.delimiter.join(row), line=line)
            return row + [""] * (width - len(row)), None
        return row, (RAGGED, f"has {len(row)} fields, the header has {width}")

    def _check_quotes(self, records: Iterable[RawRecord], lines: list[int]) -> None:
        """Refuse a file in which a blank before a quote occurs for the first time after the first megabyte."""
        for record, line in zip(records, lines, strict=True):
            if _QUOTE_AFTER_BLANK.search(record):
                raise self._fault(
                    "bad_csv",
                    "a blank stands before a quote for the first time, so the cell can be read in two ways: export the "
                    "file without blanks before quotes, or set `quote = '\"'` under `[dialect]` to keep them as text",
                    line,
                )

    def _not_csv(self, error: csv.Error, line: int) -> ObjectFault:
        if '\\"' in self._text.block and self._shape.escape is None:
            return ambiguous_escape(line)
        return self._fault("bad_csv", f"not valid CSV: {error}", line)

    def _fault(self, code: str, message: str, line: int | None = None) -> ObjectFault:
        return ObjectFault(code, message, line=line or self._line + self._reader.line_num or 1, column=1)
