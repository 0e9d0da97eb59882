"""Find how a CSV file is written: its delimiter, its quotes, and the line of its header.

What is declared counts. For the rest, the first megabyte decides. Nothing is guessed: two readings of a file are an error
that names the setting which decides between them.
"""

import csv
import io
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pipeline_project.ingest.decoding import headers
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.sources.dialect import Dialect

DELIMITERS = (",", ";", "\t", "|")
COMPARED_ROWS = 200
"""Rows that are compared if two delimiters are possible."""
HEADER_LINES = 10
"""Most lines that one row of a header can take: a name in quotes can have line ends."""
LINES_OF_SAMPLE = headers.SEARCHED_ROWS + HEADER_LINES + COMPARED_ROWS
STAND_IN = "\x1f"
"""The character that stands for a delimiter of several characters while Python's reader splits the rows."""

_SEPARATOR_LINE = re.compile(r"""["']?sep=(.)["']?\r?\n?""", re.IGNORECASE)
_OTHER_BACKSLASH = re.compile(r"""(?<!\\)(?:\\\\)*\\(?=[^"\\])""")
_BLANK_BEFORE_QUOTE = re.compile(' +"')
_OTHER_DELIMITER = r"""["']?([^\w\s"'.\-,;|]{1,3}|\|\|)["']?\w"""


@dataclass
class CsvShape:
    """How a CSV file is written."""

    delimiter: str
    skipped_lines: int = 0
    """Lines before the header."""
    header_rows: int = 1
    skips_blanks: bool = False
    """True if a quote after a blank begins a cell in quotes: `1, "Alder, Inc"`."""
    has_escapes: bool = False
    """True if quotes in cells are written with a backslash, though nothing was declared."""
    quote: str | None = '"'
    escape: str | None = None
    above: list[tuple[int, list[str]]] = field(default_factory=list)
    """Lines above the header that have content, with their numbers."""

    def reader(self, lines: Any) -> Any:
        """Return Python's CSV reader for lines of this shape."""
        return csv.reader(
            lines,
            delimiter=self.delimiter if len(self.delimiter) == 1 else STAND_IN,
            quotechar=self.quote,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            escapechar=self.escape,
            skipinitialspace=self.skips_blanks,
            strict=True,
        )


def find_shape(text: str, names: FieldNames, dialect: Dialect, *, is_whole: bool) -> CsvShape:
    """Find the shape of the CSV file that begins with `text`. `is_whole`: the text is the whole file.

    Raises ObjectFault if no row names the ID, or if the file can be read in two ways.
    """
    lines = list(islice(io.StringIO(text, newline=""), LINES_OF_SAMPLE))
    shape = CsvShape(dialect.delimiter or ",", quote='"' if dialect.quote is None else dialect.quote or None)
    shape.escape = dialect.escape or None
    delimiters = [dialect.delimiter] if dialect.delimiter else list(DELIMITERS)
    begin = 0
    first = next((place for place, line in enumerate(lines) if line.strip("\ufeff \r\n")), 0)
    if dialect.delimiter is None and lines and (separator := _SEPARATOR_LINE.fullmatch(lines[first])):
        delimiters, begin = [separator[1]], first + 1
    has_columns = dialect.columns is not None and not dialect.header_lines
    if has_columns or dialect.header_lines is not None or dialect.skip_lines is not None:
        shape.skipped_lines = max(begin, dialect.skip_lines or 0)
        shape.header_rows = 0 if has_columns else 1 if dialect.header_lines is None else dialect.header_lines
        shape.delimiter = _delimiter_of_line(lines[shape.skipped_lines :], delimiters)
    else:
        _search(shape, lines, begin, delimiters, names)
    if dialect.quote is None and dialect.escape is None:
        _find_quotes(shape, text, is_whole=is_whole)
    return shape


def _row(lines: Sequence[str], delimiter: str) -> list[str]:
    """Return the first row of some lines. Errors inside of it do not matter for a search."""
    if len(delimiter) > 1:
        return "".join(lines[:1]).rstrip("\r\n").split(delimiter)
    try:
        return next(csv.reader(lines[:HEADER_LINES], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []


def _delimiter_of_line(lines: Sequence[str], delimiters: Sequence[str]) -> str:
    """Return the delimiter of the first line that is not empty: the one that separates most cells."""
    content = next((lines[place:] for place, line in enumerate(lines) if line.strip()), [])
    return max(delimiters, key=lambda delimiter: len(_row(content, delimiter)))


def _search(shape: CsvShape, lines: list[str], begin: int, delimiters: Sequence[str], names: FieldNames) -> None:
    """Find header and delimiter: the row that names the ID and most other known fields."""
    places = [place for place, line in enumerate(lines) if place >= begin and line.strip()][: headers.SEARCHED_ROWS]
    candidates = _candidates(lines, places[:1], delimiters, names)
    is_clear = len(candidates) == 1 and candidates[0][0] >= headers.ENOUGH
    if not is_clear:
        candidates = _candidates(lines, places, delimiters, names)
    if not candidates:
        raise _no_header(lines, places, delimiters, names)
    best = max(candidate[0] for candidate in candidates)
    equal = [candidate for candidate in candidates if candidate[0] == best]
    if len(equal) > 1:
        equal = _most_rows(equal, lines)
    (_, place, delimiter), *others = equal
    if others:
        shown = " or ".join(repr(each) for _, _, each in equal)
        raise _ambiguous_delimiter(f"the cells can be separated by {shown}", equal[0][2], 1 - place)
    shape.delimiter, shape.skipped_lines = delimiter, -place
    header = _row(lines[-place:], delimiter)
    if len(header) > 2 and delimiter == "|" and not any(cell.strip() for cell in header[1::2]):
        raise _ambiguous_delimiter("every second column has no name", "||", 1 - place)
    shape.above = [(each + 1, _row(lines[each : each + 1], delimiter)) for each in places if each < -place]
    headers.check_rows_above(shape.above, len(header), 1 - place)


def _candidates(
    lines: list[str], places: Sequence[int], delimiters: Sequence[str], names: FieldNames
) -> list[tuple[int, int, str]]:
    """Return the best header for each delimiter: the number of known fields, the negative place, the delimiter."""
    found: list[tuple[int, int, str]] = []
    for delimiter in delimiters:
        rows = [_row(lines[place:], delimiter) for place in places]
        place, known = headers.best_header(rows, names)
        # A name alone in its line has no delimiter. It is one candidate and not four.
        if known and (len(rows[place]) > 1 or delimiter == delimiters[0]):
            found.append((known, -places[place], delimiter))
    return found


def _most_rows(candidates: list[tuple[int, int, str]], lines: list[str]) -> list[tuple[int, int, str]]:
    """Return the candidates whose header has the width of most rows after it."""

    def rows_of_width(candidate: tuple[int, int, str]) -> int:
        _, place, delimiter = candidate
        try:
            rows = list(csv.reader(lines[-place:], delimiter=delimiter, skipinitialspace=True))
        except csv.Error:
            return 0
        return sum(len(row) == len(rows[0]) for row in rows[1 : COMPARED_ROWS + 1])

    counts = [rows_of_width(candidate) for candidate in candidates]
    return [candidate for candidate, count in zip(candidates, counts, strict=True) if count == max(counts)]


def _no_header(lines: list[str], places: list[int], delimiters: Sequence[str], names: FieldNames) -> ObjectFault:
    known = "|".join(re.escape(name) for name in sorted(names.ids, key=len, reverse=True))
    for place in places:
        if other := re.match(rf"\W*(?:{known}){_OTHER_DELIMITER}", lines[place], re.IGNORECASE):
            return _ambiguous_delimiter("the header names the ID, but its cells are not separated", other[1], place + 1)
    for place in places[:2]:
        cells = max((_row(lines[place:], delimiter) for delimiter in delimiters), key=len)
        if len(cells) > 1:
            return headers.without_id(place + 1, cells, names)
    shown = ", ".join(sorted(names.ids))[:200]
    return ObjectFault(
        "unknown_format",
        f"neither JSON, JSON Lines, Parquet, a workbook nor a CSV file whose header names one of: {shown}",
        line=1,
        column=1,
    )


def _ambiguous_delimiter(finding: str, delimiter: str, line: int) -> ObjectFault:
    return ObjectFault(
        "ambiguous_delimiter",
        f'{finding}: set the delimiter, for example `delimiter = "{delimiter}"` under `[dialect]`',
        line=line,
        column=1,
    )


def _find_quotes(shape: CsvShape, text: str, *, is_whole: bool) -> None:
    """Find out whether blanks stand before quotes, and whether backslashes stand before quotes inside of cells."""
    delimiter = shape.delimiter
    if len(delimiter) > 1:
        return
    lines = io.StringIO(text, newline="").readlines()[shape.skipped_lines :]
    if re.search(f'{re.escape(delimiter)} +"', text):
        shape.skips_blanks = _has_blank_before_quote(shape, lines)
    if '\\"' in text and not _is_readable(shape, lines, is_whole=is_whole):
        escaped = CsvShape(delimiter, skips_blanks=shape.skips_blanks, escape="\\")
        if _is_readable(escaped, lines, is_whole=is_whole):
            if other := _OTHER_BACKSLASH.search(text):
                line = text.count("\n", 0, other.start()) + 1
                raise ambiguous_escape(line)
            shape.escape, shape.has_escapes = "\\", True


def _has_blank_before_quote(shape: CsvShape, lines: list[str]) -> bool:
    with suppress(csv.Error):
        return any(_BLANK_BEFORE_QUOTE.match(cell) for row in shape.reader(lines) for cell in row)
    return False


def _is_readable(shape: CsvShape, lines: list[str], *, is_whole: bool) -> bool:
    reader = shape.reader(lines)
    try:
        for _ in reader:
            pass
    except csv.Error:
        # The sample can end inside of a cell.
        return not is_whole and reader.line_num >= len(lines)
    return True


def ambiguous_escape(line: int) -> ObjectFault:
    """Return the error of backslashes that can be read in two ways."""
    return ObjectFault(
        "ambiguous_escape",
        f"line {line}: a backslash stands before a quote, and it is not certain what it means: set "
        '`escape = "\\\\"` under `[dialect]` if backslashes escape quotes, or `escape = ""` if quotes are doubled',
        line=line,
        column=1,
    )
