"""Convert Parquet rows to JSON records, so that all later stages see one form.

Decimals, dates and nested columns keep their meaning. NaN and infinity are missing, because JSON has no form for them.

Parquet stores a repeated value once. A small file can therefore contain much more data than its size suggests. The size of
the rows is computed before any row is built: strings stay in their dictionaries until then. Only as many rows are built
together as fit into a window.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from pipeline_project.ingest.decoding import headers, limits
from pipeline_project.ingest.decoding.archives import spooled
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.id_numbers import whole_ids
from pipeline_project.ingest.decoding.notes import Notes
from pipeline_project.ingest.decoding.parquet_columns import (
    as_text,
    can_have_decimals,
    note_bytes,
    readable_type,
    text_columns,
)
from pipeline_project.ingest.decoding.parquet_footer import ENCRYPTED, PLAIN, is_encrypted
from pipeline_project.ingest.decoding.records import OVERSIZE, Chunk, Flaw, RawRecord
from pipeline_project.ingest.decoding.streams import ByteStream, check_unpacked

UNREADABLE = (pa.ArrowException, OSError, ValueError, TypeError, ArithmeticError, LookupError)
"""Errors of pyarrow for a damaged file, or for a value that has no type in Python."""
WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8, "BYTE_ARRAY": 4}
"""Bytes of a value before rows are built. A string counts as its index in the dictionary."""
DECIMAL = 16
"""Maximum size of a decimal, in bytes."""
VALUE = 16
"""Bytes of a row for each column, present or missing. They matter for many rows that are almost empty."""
GLIMPSE = 1000
"""Maximum size in bytes of the values that are kept of a row that is too large. They help a person to identify the row."""

FIRST_BYTES = 64
"""Number of bytes in which a Parquet file has a zero byte. The first line of a CSV file, for example PARENT_ID, has none."""
MILLISECONDS = (2**63 - 1) // 1000
"""The greatest distance from 1970, in milliseconds, that 64 bits also hold in microseconds."""

_TICKS = {"ms": 1, "s": 1000}
_COARSE = [f"timestamp[{unit}" for unit in _TICKS]

_compute: Any = pyarrow.compute  # pyarrow creates its functions at run time, so a type checker does not know them
_encode = msgspec.json.Encoder(decimal_format="number").encode


def is_parquet(head: bytes) -> bool:
    """Return whether content that begins with `head` is Parquet, encrypted or not."""
    return head.startswith(PLAIN) or (head.startswith(ENCRYPTED) and b"\0" in head[:FIRST_BYTES])


def parquet_chunks(stream: ByteStream, notes: Notes, names: FieldNames) -> Iterator[Chunk]:
    """Yield the rows of a Parquet file, with nested columns."""
    with spooled(stream) as (file, size):
        try:
            ordinal = 1
            for records, flaws in _pieces(file, size, notes, names):
                yield Chunk(ordinal, records, flaws)
                ordinal += len(records)
        except UNREADABLE as error:
            raise ObjectFault(
                "bad_parquet", f"not a readable Parquet file ({type(error).__name__}): export it again"
            ) from None


def _pieces(file: Any, size: int, notes: Notes, names: FieldNames) -> Iterator[tuple[list[RawRecord], dict[int, Flaw]]]:
    """Yield the rows of a file of `size` bytes, window by window."""
    if is_encrypted(file, size):
        raise ObjectFault("bad_parquet", "the Parquet file is encrypted: export it without encryption")
    metadata = pq.read_metadata(file)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    _check_counts(metadata, groups)
    texts = [
        column.path
        for place, column in enumerate(_columns(metadata))
        if column.physical_type == "BYTE_ARRAY" and not any(_is_delta(group.column(place)) for group in groups)
    ]
    # Checksums are verified if the file has them. Times of the old type INT96 would overflow in nanoseconds.
    verified = {"metadata": metadata, "page_checksum_verification": True}
    parquet = pq.ParquetFile(file, read_dictionary=texts, coerce_int96_timestamp_unit="us", **verified)
    columns = headers.column_names(parquet.schema_arrow.names, names, notes, line=1)
    fields = [field.with_name(name) for field, name in zip(parquet.schema_arrow, columns, strict=True)]
    coarse = {place for place, field in enumerate(fields) if any(unit in str(field.type) for unit in _COARSE)}
    old_times = [column.path for column in _columns(metadata) if column.physical_type == "INT96"]
    check_unpacked(sum(group.total_byte_size for group in groups), size)
    check_unpacked(sum(_width(metadata, group, at_once=True) for group in groups), size)
    if old_times:
        _check_old_times(pq.ParquetFile(file, coerce_int96_timestamp_unit="ms", **verified), old_times)
    texts_too = text_columns(parquet, columns, [_rows_at_once(metadata, group) for group in groups])
    note_bytes([field for field in fields if field.name not in texts_too], notes, names)
    ids = [field.name for field in fields if names.is_id_value(field.name) and can_have_decimals(field.type)]
    utc, as_sent, readable = (
        [field.with_type(readable_type(field.type, times, floats)) for field in fields]
        for times, floats in (
            (lambda _: pa.timestamp("us"), pa.string()),
            (lambda kind: pa.timestamp(kind.unit), pa.string()),
            (lambda _: pa.string(), pa.float64()),
        )
    )
    readable = [field.with_type(as_text(field.type)) if field.name in texts_too else field for field in readable]
    unpacked = 0
    for number, group in enumerate(groups):
        rows_read = 0
        for batch in parquet.iter_batches(_rows_at_once(metadata, group), row_groups=[number]):
            rows_read += batch.num_rows
            sizes = [_sizes(column).to_pylist() for column in batch.columns]
            rows = [VALUE * len(sizes) + sum(of_row) for of_row in zip(*sizes, strict=True)]
            unpacked += sum(map(sum, sizes))
            check_unpacked(unpacked, size)
            # Cast without time zones first. Parquet's times are in UTC, and a zone would need a lookup of its name.
            without_zone = [
                as_sent[place] if place in coarse and _wraps(column) else utc[place]
                for place, column in enumerate(batch.columns)
            ]
            for begin, end in _windows(rows):
                oversize = rows[begin] > limits.RECORD_LIMIT
                places = [place for place, column in enumerate(sizes) if not oversize or column[begin] <= GLIMPSE]
                piece = (
                    batch.slice(begin, end - begin).select(places).rename_columns([columns[place] for place in places])
                )
                for schema in (without_zone, readable):
                    piece = piece.cast(pa.schema([schema[place] for place in places]), safe=False)
                built = piece.to_pylist()
                flaws = whole_ids(built, ids) if ids else {}
                records: list[RawRecord] = [_encode(_present(row)) for row in built]
                flaws.update(
                    (i, OVERSIZE) for i, text in enumerate(records) if oversize or len(text) > limits.RECORD_LIMIT
                )
                yield records, flaws
        if rows_read != group.num_rows:
            raise _count_mismatch(group.num_rows, rows_read)


def _check_counts(metadata: pq.FileMetaData, groups: Sequence[pq.RowGroupMetaData]) -> None:
    """Raise ObjectFault unless the footer declares one number of rows everywhere, and all columns in each part."""
    found = sum(group.num_rows for group in groups)
    if metadata.num_rows != found:
        raise _count_mismatch(metadata.num_rows, found)
    for group in groups:
        if group.num_columns != metadata.num_columns:
            raise ObjectFault("bad_parquet", "a part of the file lacks columns: export it again")
        for place, column in enumerate(_columns(metadata)):
            values = group.column(place).num_values
            if not column.max_repetition_level and values != group.num_rows:
                raise _count_mismatch(group.num_rows, values)


def _count_mismatch(declared: int, found: int) -> ObjectFault:
    return ObjectFault(
        "count_mismatch",
        f"the Parquet file declares {declared} rows, but there are {found}: the export is incomplete, run it again",
    )


def _check_old_times(coarse: pq.ParquetFile, columns: Sequence[str]) -> None:
    """Raise ObjectFault if a time of the type INT96 wraps in microseconds. In milliseconds, `coarse` can hold each."""
    for batch in coarse.iter_batches(limits.CHUNK_RECORDS, columns=list(columns)):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if _wraps(column):
                raise ObjectFault(
                    "bad_parquet", f"column {name[:50]!r} holds a time after the year 294,000: correct it"
                )


def _wraps(column: Any) -> bool:
    """Check whether an Arrow array holds a time, at any depth, that 64 bits cannot hold in microseconds."""
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return _wraps(column.storage)
    if pa.types.is_struct(kind):
        return any(map(_wraps, column.flatten()))
    if pa.types.is_map(kind):
        return _wraps(column.keys) or _wraps(column.items)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _wraps(column.flatten())
    if not pa.types.is_timestamp(kind) or kind.unit not in _TICKS:
        return False
    ends = _compute.min_max(column.cast(pa.int64())).as_py()
    most = MILLISECONDS // _TICKS[kind.unit]
    return ends["min"] is not None and not -most <= ends["min"] <= ends["max"] <= most


def _columns(metadata: pq.FileMetaData) -> list[pq.ColumnSchema]:
    """Return the leaves of the schema. Each nested field is one leaf."""
    return [metadata.schema.column(place) for place in range(metadata.num_columns)]


def _width(metadata: pq.FileMetaData, group: pq.RowGroupMetaData, *, at_once: bool) -> int:
    """Return the bytes that the values of a row group take before rows are built.

    `at_once`: count only columns that need all their memory for a few rows. A list in one row can have any length, and
    Arrow allocates a whole page for wide values.
    """
    return sum(
        group.column(place).num_values * (column.length or WIDTHS[column.physical_type])
        for place, column in enumerate(_columns(metadata))
        if not at_once or column.max_repetition_level or column.length > DECIMAL
    )


def _rows_at_once(metadata: pq.FileMetaData, group: pq.RowGroupMetaData) -> int:
    """Return how many rows of a row group fit into a window, according to the file's own sizes."""
    bytes_ = max(group.total_byte_size, _width(metadata, group, at_once=False), 1)
    rows = limits.WINDOW * group.num_rows // bytes_
    for place in range(group.num_columns):
        column = group.column(place)
        if _is_delta(column):  # each string can repeat the whole string before it
            rows = min(rows, limits.RECORD_LIMIT // max(column.total_uncompressed_size, 1))
    return max(1, min(limits.CHUNK_RECORDS, rows))


def _is_delta(column: pq.ColumnChunkMetaData) -> bool:
    """Return whether strings are stored as differences. Arrow cannot read them into a dictionary."""
    return any(encoding.startswith("DELTA") and encoding.endswith("BYTE_ARRAY") for encoding in column.encodings)


def _sizes(column: Any) -> Any:
    """Return the bytes of each value of an Arrow array, as an array. Nested values count, null counts as 0."""
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return _sizes(column.storage)
    if pa.types.is_dictionary(kind):
        return _sizes(column.dictionary).take(column.indices).fill_null(0)
    if pa.types.is_struct(kind):
        return _total([_zeros(column), *map(_sizes, column.flatten())])
    if pa.types.is_fixed_size_list(kind):
        column = column.cast(pa.list_(kind.value_field))
        kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        within = [column.keys, column.items] if pa.types.is_map(kind) else [column.values]
        sums = pa.concat_arrays(
            [pa.array([0], pa.int64()), _compute.cumulative_sum(_total([_sizes(each) for each in within]))]
        )
        return _compute.subtract(sums.take(column.offsets[1:]), sums.take(column.offsets[:-1]))
    if pa.types.is_null(kind):
        return _zeros(column)
    if pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind):
        return _compute.multiply(column.is_valid().cast(pa.int64()), max(kind.bit_width // 8, 1))
    return _compute.binary_length(column).fill_null(0).cast(pa.int64())


def _total(arrays: Sequence[Any]) -> Any:
    return list(accumulate(arrays, _compute.add))[-1]


def _zeros(column: Any) -> Any:
    return pa.nulls(len(column), pa.int64()).fill_null(0)


def _windows(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows that are built together and fit into a window. A row that is too large is built alone."""
    begin = 0
    together = 0
    for place, size in enumerate(sizes):
        if place > begin and (together + size > limits.WINDOW or sizes[begin] > limits.RECORD_LIMIT):
            yield begin, place
            begin, together = place, 0
        together += size
    if sizes:
        yield begin, len(sizes)


def _present(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if value is not None}
