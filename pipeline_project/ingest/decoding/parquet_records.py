"""Parquet as JSON records, so that everything behind sees one form. Decimals, dates and nested columns keep their meaning;
NaN and infinity, which JSON cannot say, are not there.

A value that a column repeats is stored once, so a small file may hold far more than it weighs. What its rows weigh is known
before any of them is built: texts stay in their dictionaries until then, and as many rows are built at once as fit a window.
"""

import tempfile
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.json_records import (
    CHUNK_RECORDS,
    OVERSIZE,
    RECORD_LIMIT,
    WINDOW,
    Chunk,
    Flaw,
    RawRecord,
)
from pipeline_project.ingest.decoding.streams import ByteStream, check_unpacked

PARQUET = b"PAR1"
SPILL = 8 * 1024 * 1024
"""Parquet is read from its end; a file above this size waits on disk and not in memory."""
UNREADABLE = (pa.ArrowException, OSError, ValueError, TypeError, ArithmeticError, LookupError)
"""What pyarrow raises for Parquet that is damaged, or that holds what Python has no type for."""
WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8, "BYTE_ARRAY": 4}
"""Bytes that a value takes before it is built; that of a text is its place in the dictionary."""
DECIMAL = 16
"""Longest decimal, in bytes."""
VALUE = 16
"""Bytes by which a row grows with each column, sent or not: they count where rows are many and all but empty."""
GLIMPSE = 1000
"""Values up to this size are kept of a row that is too large, so that a person can tell which it is."""

_compute: Any = pyarrow.compute  # made at run time, so that no type checker sees it
_encode = msgspec.json.Encoder(decimal_format="number").encode


def parquet_chunks(stream: ByteStream) -> Iterator[Chunk]:
    """The rows of a Parquet file, nested columns included."""
    with tempfile.SpooledTemporaryFile(max_size=SPILL) as file:
        size = 0
        while data := stream.read(SPILL):
            file.write(data)
            size += len(data)
        file.seek(0)
        try:
            ordinal = 1
            for records, flaws in _pieces(file, size):
                yield Chunk(ordinal, records, flaws)
                ordinal += len(records)
        except UNREADABLE as error:
            raise ObjectFault(
                "bad_parquet", f"not a readable Parquet file ({type(error).__name__}): export it again"
            ) from None


def _pieces(file: Any, size: int) -> Iterator[tuple[list[RawRecord], dict[int, Flaw]]]:
    """The rows of a file of `size` bytes, a window at a time."""
    metadata = pq.read_metadata(file)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    texts = [
        column.path
        for place, column in enumerate(_columns(metadata))
        if column.physical_type == "BYTE_ARRAY" and not any(_is_delta(group.column(place)) for group in groups)
    ]
    parquet = pq.ParquetFile(file, metadata=metadata, read_dictionary=texts)
    utc, readable = (
        pa.schema([field.with_type(_readable(field.type, times)) for field in parquet.schema_arrow])
        for times in (pa.timestamp("us"), pa.string())
    )
    check_unpacked(sum(group.total_byte_size for group in groups), size)
    check_unpacked(sum(_width(metadata, group, at_once=True) for group in groups), size)
    unpacked = 0
    for number, group in enumerate(groups):
        for batch in parquet.iter_batches(_rows_at_once(metadata, group), row_groups=[number]):
            sizes = [_sizes(column).to_pylist() for column in batch.columns]
            rows = [VALUE * len(sizes) + sum(of_row) for of_row in zip(*sizes, strict=True)]
            unpacked += sum(map(sum, sizes))
            check_unpacked(unpacked, size)
            for begin, end in _windows(rows):
                oversize = rows[begin] > RECORD_LIMIT
                places = [place for place, column in enumerate(sizes) if not oversize or column[begin] <= GLIMPSE]
                piece = batch.slice(begin, end - begin).select(places)
                # First without zones (Parquet's times are UTC), since their names would have to be looked up.
                for schema in (utc, readable):
                    piece = piece.cast(pa.schema([schema.field(place) for place in places]), safe=False)
                records: list[RawRecord] = [_encode(_present(row)) for row in piece.to_pylist()]
                yield records, {i: OVERSIZE for i, text in enumerate(records) if oversize or len(text) > RECORD_LIMIT}


def _columns(metadata: pq.FileMetaData) -> list[pq.ColumnSchema]:
    """Of the leaves of the schema: nested fields one by one."""
    return [metadata.schema.column(place) for place in range(metadata.num_columns)]


def _width(metadata: pq.FileMetaData, group: pq.RowGroupMetaData, *, at_once: bool) -> int:
    """Bytes that the values of a row group take before rows are built. `at_once`: of those that a few rows may ask for.

    A list of any length may stand in one row, and of wide values Arrow makes room for a whole page.
    """
    return sum(
        group.column(place).num_values * (column.length or WIDTHS[column.physical_type])
        for place, column in enumerate(_columns(metadata))
        if not at_once or column.max_repetition_level or column.length > DECIMAL
    )


def _rows_at_once(metadata: pq.FileMetaData, group: pq.RowGroupMetaData) -> int:
    """As many rows of a row group as fit into a window before they are built, as far as the file tells."""
    bytes_ = max(group.total_byte_size, _width(metadata, group, at_once=False), 1)
    rows = WINDOW * group.num_rows // bytes_
    for place in range(group.num_columns):
        column = group.column(place)
        if _is_delta(column):  # each text may repeat all that came before it
            rows = min(rows, RECORD_LIMIT // max(column.total_uncompressed_size, 1))
    return max(1, min(CHUNK_RECORDS, rows))


def _is_delta(column: pq.ColumnChunkMetaData) -> bool:
    """Whether it holds texts as what they differ in, which Arrow cannot read into a dictionary."""
    return any(encoding.startswith("DELTA") and encoding.endswith("BYTE_ARRAY") for encoding in column.encodings)


def _sizes(column: Any) -> Any:
    """Bytes of each value of an Arrow array, as an array: what is inside of it included, what is null for nothing."""
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
    """Rows that are built together, from and to: no more bytes than fit a window. One that is too large stands alone."""
    begin = 0
    together = 0
    for place, size in enumerate(sizes):
        if place > begin and (together + size > WINDOW or sizes[begin] > RECORD_LIMIT):
            yield begin, place
            begin, together = place, 0
        together += size
    if sizes:
        yield begin, len(sizes)


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
