"""CSV and Parquet as JSON records, so that everything behind sees one form. A CSV's first line names the fields.

Values of a CSV are texts and an empty one is not there. Decimals, dates and nested columns of Parquet keep their meaning;
NaN and infinity, which JSON cannot say, are not there.
"""

import codecs
import csv
import io
import tempfile
from collections.abc import Collection, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_project.ingest.faults import ObjectFault
from pipeline_project.ingest.json_records import (
    CHUNK_RECORDS,
    OVERSIZE,
    RAW_LIMIT,
    RECORD_LIMIT,
    WINDOW,
    Chunk,
    Flaw,
    RawRecord,
    Window,
)
from pipeline_project.ingest.streams import BOMB_FLOOR, BOMB_RATIO, ByteStream

PARQUET = b"PAR1"
FIELD_LIMIT = 1024 * 1024
"""Longest field of a CSV, in characters."""
SPILL = 8 * 1024 * 1024
"""Parquet is read from its end; a file above this size waits on disk and not in memory."""
UNREADABLE = (pa.ArrowException, OSError, ValueError, TypeError, ArithmeticError, LookupError)
"""What pyarrow raises for Parquet that is damaged, or that holds what Python has no type for."""

_encode = msgspec.json.Encoder(decimal_format="number").encode


def csv_chunks(window: Window, known_fields: Collection[str]) -> Iterator[Chunk]:
    """The rows of a CSV; its delimiter is the one of comma, semicolon and tab that its header uses most.

    A text whose header has none of `known_fields` (the spellings of an id) is not taken for a CSV: ObjectFault.
    A row with more or fewer fields than the header is a flaw. Empty lines are no rows, those of delimiters only neither.
    """
    first = window.buffer[window.position :].splitlines()[0]
    window.position = 0  # the delimiter that a line begins with may be white space
    delimiter = max(",;\t", key=lambda mark: first.count(mark.encode()))
    csv.field_size_limit(FIELD_LIMIT)
    reader = csv.reader(_lines(window), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(filter(any, reader))]
    except (csv.Error, StopIteration):
        header = []
    if not set(header) & set(known_fields):
        raise ObjectFault(
            "unknown_format",
            f"neither JSON, JSON Lines, Parquet nor a CSV whose first line names one of: {', '.join(sorted(known_fields))}",
            line=1,
            column=1,
        )
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise ObjectFault("bad_csv", f"the first line names a field twice: {', '.join(twice)}", line=1, column=1)
    yield from _csv_rows(reader, header, delimiter)


def _csv_rows(reader: Any, header: list[str], delimiter: str) -> Iterator[Chunk]:
    ordinal = 1
    records: list[RawRecord] = []
    lines: list[int] = []
    flaws: dict[int, Flaw] = {}
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
                    records.append(_encode({name: value for name, value in zip(header, row, strict=True) if value}))
                else:
                    flaws[len(records)] = ("ragged_row", f"has {len(row)} fields, the first line names {len(header)}")
                    records.append(delimiter.join(row).encode()[:RAW_LIMIT])
        if len(records) == CHUNK_RECORDS or (ended and records):
            yield Chunk(ordinal, records, flaws, lambda index, lines=lines: lines[index])
            ordinal += len(records)
            records, lines, flaws = [], [], {}


def _lines(window: Window) -> Iterator[str]:
    """Lines with their ends. Only line feeds and carriage returns end one: texts may hold what Unicode calls a line end."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    rest = ""
    while True:
        window.fill(WINDOW)
        data = window.buffer[window.position :]
        try:
            text = rest + decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            place = window.position + error.start - (len(error.object) - len(data))
            raise window.fault("bad_encoding", "not valid UTF-8: export the file as UTF-8", max(place, 0)) from None
        window.position = len(window.buffer)
        lines = list(io.StringIO(text, newline=""))
        # A carriage return may be the first half of a line's end.
        rest = lines.pop() if data and lines and not lines[-1].endswith("\n") else ""
        yield from lines
        if not data:
            return
        if len(rest) > FIELD_LIMIT:
            raise window.fault("bad_csv", f"a line is longer than {FIELD_LIMIT:,} characters")


def parquet_chunks(stream: ByteStream) -> Iterator[Chunk]:
    """The rows of a Parquet file, nested columns included."""
    with tempfile.SpooledTemporaryFile(max_size=SPILL) as file:
        size = 0
        while data := stream.read(SPILL):
            file.write(data)
            size += len(data)
        file.seek(0)
        try:
            parquet = pq.ParquetFile(file)
            utc, readable = (
                pa.schema([field.with_type(_readable(field.type, times)) for field in parquet.schema_arrow])
                for times in (pa.timestamp("us"), pa.string())
            )
            ordinal = 1
            for batch in parquet.iter_batches(batch_size=_rows_at_once(parquet.metadata, size)):
                # First without zones (Parquet's times are UTC), since their names would have to be looked up.
                rows = batch.cast(utc, safe=False).cast(readable).to_pylist()
                records: list[RawRecord] = [_encode(_present(row)) for row in rows]
                flaws = {index: OVERSIZE for index, record in enumerate(records) if len(record) > RECORD_LIMIT}
                yield Chunk(ordinal, records, flaws)
                ordinal += len(records)
        except UNREADABLE as error:
            raise ObjectFault(
                "bad_parquet", f"not a readable Parquet file ({type(error).__name__}): export it again"
            ) from None


def _rows_at_once(metadata: pq.FileMetaData, size: int) -> int:
    """As many rows as fit into a window, as far as the file tells."""
    unpacked = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    if unpacked > max(BOMB_FLOOR, BOMB_RATIO * size):
        raise ObjectFault("too_large", f"unpacks to {unpacked:,} bytes from {size:,}: split the file")
    return max(1, min(CHUNK_RECORDS, WINDOW * metadata.num_rows // max(unpacked, 1)))


def _readable(kind: pa.DataType, times: pa.DataType) -> pa.DataType:
    """`kind` with dates as texts and timestamps as `times`, at any depth: Python's end with the year 9999."""
    if pa.types.is_timestamp(kind):
        return times
    if pa.types.is_date(kind):
        return pa.string()
    if pa.types.is_dictionary(kind):
        return _readable(kind.value_type, times)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_readable(field.type, times)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_readable(kind.key_type, times), _readable(kind.item_type, times))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_readable(kind.value_type, times)))
    return kind


def _present(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if value is not None}
