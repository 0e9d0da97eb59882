"""CSV and Parquet as JSON records, so that everything behind sees one form. A CSV's first line names the fields.

Values of a CSV are texts and an empty one is not there. Decimals, dates and nested columns of Parquet keep their meaning.
"""

import codecs
import csv
import tempfile
from collections.abc import Collection, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_project.ingest.faults import ObjectFault
from pipeline_project.ingest.json_records import CHUNK_RECORDS, RAW_LIMIT, WINDOW, Chunk, RawRecord, Window
from pipeline_project.ingest.streams import ByteStream

PARQUET = b"PAR1"
FIELD_LIMIT = 1024 * 1024
"""Longest field of a CSV, in characters."""
SPILL = 8 * 1024 * 1024
"""Parquet is read from its end; a file above this size waits on disk and not in memory."""

_encode = msgspec.json.Encoder(decimal_format="number").encode


def csv_chunks(window: Window, known_fields: Collection[str]) -> Iterator[Chunk]:
    """The rows of a CSV; its delimiter is the one of comma, semicolon and tab that its header uses most.

    A text whose header has none of `known_fields` (the spellings of an id) is not taken for a CSV: ObjectFault.
    A row with more or fewer fields than the header comes out as a record that is not JSON, hence a reject.
    """
    header_end = window.buffer.find(b"\n", window.position)
    first = window.buffer[window.position : header_end if header_end >= 0 else len(window.buffer)]
    delimiter = max(",;\t", key=lambda mark: first.count(mark.encode()))
    csv.field_size_limit(FIELD_LIMIT)
    reader = csv.reader(_lines(window), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader)]
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
    yield from _csv_rows(reader, header)


def _csv_rows(reader: Any, header: list[str]) -> Iterator[Chunk]:
    ordinal = 1
    records: list[RawRecord] = []
    lines: list[int] = []
    ended = False
    while not ended:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            ended = True
        except csv.Error as error:
            raise ObjectFault("bad_csv", f"not valid CSV: {error}", line=reader.line_num, column=1) from None
        else:
            if row:
                fields = {name: value for name, value in zip(header, row, strict=False) if value}
                text = _encode(fields)
                # Kept as it came where it does not fit: the reason is found when it is read.
                records.append(text if len(row) == len(header) else ",".join(row).encode()[:RAW_LIMIT])
                lines.append(line)
        if len(records) == CHUNK_RECORDS or (ended and records):
            yield Chunk(ordinal, records, line=lambda index, lines=lines: lines[index])
            ordinal += len(records)
            records, lines = [], []


def _lines(window: Window) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    rest = ""
    while True:
        window.fill(WINDOW)
        data = window.buffer[window.position :]
        window.position = len(window.buffer)
        try:
            text = rest + decoder.decode(data, final=not data)
        except UnicodeDecodeError:
            raise ObjectFault("bad_encoding", "not valid UTF-8: export the file as UTF-8") from None
        *whole, rest = text.splitlines(keepends=True) or [""]
        yield from whole
        if not data:
            if rest:
                yield rest
            return
        if len(rest) > FIELD_LIMIT:
            raise ObjectFault("bad_csv", f"a line is longer than {FIELD_LIMIT:,} characters")


def parquet_chunks(stream: ByteStream) -> Iterator[Chunk]:
    """The rows of a Parquet file, nested columns included."""
    with tempfile.SpooledTemporaryFile(max_size=SPILL) as file:
        while data := stream.read(SPILL):
            file.write(data)
        file.seek(0)
        try:
            parquet = pq.ParquetFile(file)
            ordinal = 1
            for batch in parquet.iter_batches(batch_size=CHUNK_RECORDS):
                records: list[RawRecord] = [_encode(_present(row)) for row in batch.to_pylist()]
                yield Chunk(ordinal, records)
                ordinal += len(records)
        except (pa.ArrowException, OSError) as error:
            raise ObjectFault(
                "bad_parquet", f"not a readable Parquet file ({type(error).__name__}): export it again"
            ) from None


def _present(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if value is not None}
