"""Convert CSV rows to JSON records, so that all later stages see one form.

The first line names the fields. A column without a name is named after its number (`column_3`): spreadsheets write empty
columns, and pandas writes its index without a name. Values are strings. An empty cell is missing.
"""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from pipeline_project.ingest.decoding import limits
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.records import OVERSIZE, Chunk, Flaw, RawRecord
from pipeline_project.ingest.decoding.window import Window

_encode = msgspec.json.Encoder().encode


def csv_chunks(window: Window, known_fields: Collection[str], declared: str | None) -> Iterator[Chunk]:
    """Yield the rows of a CSV file.

    If no delimiter is declared, it is comma, semicolon or tab: the mark that occurs most often in the header. Empty lines
    and lines of delimiters only are skipped. A row with more or fewer cells than the header is an invalid record.

    Raises ObjectFault if the header has none of `known_fields`, the aliases of the ID. Then the file is not a CSV file.
    """
    first = window.buffer[window.position :].splitlines()[0]
    window.position = 0  # a line can begin with a tab as its delimiter
    delimiter = declared or max(",;\t", key=lambda mark: first.count(mark.encode()))
    csv.field_size_limit(limits.FIELD_LIMIT)
    reader = csv.reader(_lines(window), delimiter=delimiter, strict=True)
    try:
        names = next(filter(any, reader))
        header = [name.strip() or f"column_{place}" for place, name in enumerate(names, start=1)]
    except (csv.Error, StopIteration):
        header = []
    if not set(header) & set(known_fields):
        raise ObjectFault(
            "unknown_format",
            f"neither JSON, JSON Lines, Parquet nor a CSV whose first line names one of: {', '.join(sorted(known_fields))}",
            line=1,
            column=1,
        )
    if twice := sorted(name for name, count in Counter(header).items() if count > 1):
        named = ", ".join(repr(name[:50]) for name in twice[:5])
        raise ObjectFault("bad_csv", f"the first line names a field twice: {named}", line=1, column=1)
    yield from _csv_rows(reader, header, delimiter)


def _csv_rows(reader: Any, header: list[str], delimiter: str) -> Iterator[Chunk]:
    ordinal = 1
    records: list[RawRecord] = []
    lines: list[int] = []
    flaws: dict[int, Flaw] = {}
    size = 0
    ended = False
    while not ended:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            ended = True
        except csv.Error as error:
            raise ObjectFault("bad_csv", f"not valid CSV: {error}", line=line, column=1) from None
        else:
            if any(row):
                lines.append(line)
                if len(row) == len(header):
                    record = _encode({name: value for name, value in zip(header, row, strict=True) if value})
                    if len(record) > limits.RECORD_LIMIT:
                        flaws[len(records)] = OVERSIZE
                        record = record[: limits.RAW_LIMIT]
                else:
                    flaws[len(records)] = ("ragged_row", f"has {len(row)} fields, the first line names {len(header)}")
                    record = delimiter.join(row).encode()[: limits.RAW_LIMIT]
                records.append(record)
                size += len(record)
        if len(records) == limits.CHUNK_RECORDS or size >= limits.WINDOW or (ended and records):
            yield Chunk(ordinal, records, flaws, lambda index, lines=lines: lines[index])
            ordinal += len(records)
            records, lines, flaws, size = [], [], {}, 0


def _lines(window: Window) -> Iterator[str]:
    """Yield lines with their ends. Only LF and CR end a line, because cells can contain line separators of Unicode."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    rest = ""
    while True:
        window.fill(limits.WINDOW)
        data = window.buffer[window.position :]
        try:
            text = rest + decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            place = window.position + error.start - (len(error.object) - len(data))
            raise window.fault("bad_encoding", "not valid UTF-8: export the file as UTF-8", max(place, 0)) from None
        window.position = len(window.buffer)
        lines = list(io.StringIO(text, newline=""))
        # A CR at the end of the data can be the first half of CR LF.
        rest = lines.pop() if data and lines and not lines[-1].endswith("\n") else ""
        yield from lines
        if not data:
            return
        if len(rest) > limits.FIELD_LIMIT:
            raise window.fault("bad_csv", f"a line is longer than {limits.FIELD_LIMIT:,} characters")
