"""Parquet, apart from the other encoders because of pyarrow: the Lambda has none.

Columns are put together as Arrow keeps them, text as bytes with offsets, and what is read best from text is cast by Arrow: half
the time of `pyarrow.array`, which also imports pandas (50 MB) to see whether it was given some of its.

A numeric column of no declared scale becomes decimal(38, 18): money has at most 12 places here. A quotient with more
than 18 places is rounded half to even at the 18th; a number with more than 20 digits before the point is refused, and so is
NaN or infinity. As text, every number has all its digits.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_project.analytics.execution import NUMBERS, Column, Row
from pipeline_project.errors import Permanent
from pipeline_project.results.options import Numbers
from pipeline_project.results.texts import as_text

ROW_GROUP_ROWS = 25_000
ROW_GROUP_BYTES = 32 * 1024 * 1024
"""Memory of the rows that wait for their row group: wide rows make smaller groups."""
DIGITS, PLACES = 38, 18
TYPES: dict[str, pa.DataType] = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    "timestamp without time zone": pa.timestamp("us"),
    "bytea": pa.binary(),
    "numeric": pa.decimal128(DIGITS, PLACES),
}


class ParquetEncoder:
    """Row groups of 25,000 rows, or fewer if the rows are wide, with zstd."""

    def __init__(self, columns: Sequence[Column], numbers: Numbers) -> None:
        self.rows = 0
        self._columns = columns
        self._schema = pa.schema([(column.name, _arrow_type(column.type, numbers)) for column in columns])
        self._sink = _Outbox()
        self._writer = pq.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0

    def start(self) -> bytes:
        return b""

    def batch(self, rows: Sequence[Row]) -> bytes:
        self.rows += len(rows)
        values = list(zip(*rows, strict=True)) or [()] * len(self._columns)
        arrays = [_array(items, field.type, field.name) for items, field in zip(values, self._schema, strict=True)]
        self._pending.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._pending_bytes += self._pending[-1].nbytes
        waiting = sum(batch.num_rows for batch in self._pending)
        if waiting >= ROW_GROUP_ROWS or self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()
        return self._sink.taken()

    def end(self, truncated: bool, /) -> bytes:
        self._flush()
        # Written into the file, too: a file is passed on without its manifest.
        self._writer.add_key_value_metadata({"truncated": str(truncated).lower()})
        self._writer.close()
        return self._sink.taken()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_batches(self._pending), row_group_size=ROW_GROUP_ROWS)
            self._pending.clear()
            self._pending_bytes = 0


class _Outbox:
    """The file that pyarrow writes to: keeps what was written until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._position = 0

    def write(self, data: Any) -> int:
        taken = bytes(data)
        self._written.append(taken)
        self._position += len(taken)
        return len(taken)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """What was written stays to be taken."""

    def taken(self) -> bytes:
        data = b"".join(self._written)
        self._written.clear()
        return data


def _arrow_type(name: str, numbers: Numbers) -> pa.DataType:
    if name.endswith("[]"):
        return pa.list_(_arrow_type(name.removesuffix("[]"), numbers))
    if numbers is Numbers.TEXT and name.partition("(")[0] in NUMBERS:
        return pa.string()
    if name.startswith("numeric("):
        precision, scale = (int(part) for part in name[len("numeric(") : -1].split(","))
        if 0 <= scale <= precision <= DIGITS:
            return pa.decimal128(precision, scale)
        name = "numeric"
    return TYPES.get(name, pa.string())


def _array(values: Sequence[Any], kind: pa.DataType, column: str) -> pa.Array:
    if pa.types.is_list(kind):
        lists = [() if value is None else value for value in values]
        flat = list(chain.from_iterable(lists))
        if any(isinstance(item, list) for item in flat):
            message = f"column {column} holds an array of several dimensions; ask for json, ndjson or csv"
            raise Permanent(message)
        items = _array(flat, kind.value_type, column)
        return pa.Array.from_buffers(kind, len(values), [_validity(values), _offsets(lists)], children=[items])
    if pa.types.is_decimal(kind):
        try:
            return _decimals(values, kind)
        except pa.ArrowInvalid:  # one of them at least is no number, or has more digits than the column
            return _decimals([_decimal(value, kind, column) for value in values], kind)
    if pa.types.is_temporal(kind):
        return _texts(msgspec.json.decode(msgspec.json.encode(values))).cast(kind)
    if pa.types.is_string(kind):
        if not set(map(type, values)) <= {str, type(None)}:
            values = [value if value is None or isinstance(value, str) else as_text(value) for value in values]
        return _texts(values)
    if pa.types.is_binary(kind):
        filled = [value or b"" for value in values]
        buffers = [_validity(values), _offsets(filled), pa.py_buffer(b"".join(filled))]
        return pa.Array.from_buffers(kind, len(values), buffers)
    return _fixed(values, kind)


def _fixed(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Numbers and booleans."""
    filled = [value or 0 for value in values] if None in values else values
    array = np.array(filled, dtype=kind.to_pandas_dtype())
    if pa.types.is_boolean(kind):
        array = np.packbits(array, bitorder="little")
    return pa.Array.from_buffers(kind, len(values), [_validity(values), pa.py_buffer(array)])


def _decimals(values: Sequence[Decimal | None], kind: pa.DataType) -> pa.Array:
    return _texts([None if value is None else str(value) for value in values]).cast(kind)


def _texts(values: Sequence[str | None]) -> pa.Array:
    filled = [value or "" for value in values]
    joined = "".join(filled)
    data = joined.encode()
    # In ASCII, characters are bytes.
    offsets = _offsets(filled) if len(data) == len(joined) else _offsets([value.encode() for value in filled])
    return pa.Array.from_buffers(pa.string(), len(values), [_validity(values), offsets, pa.py_buffer(data)])


def _offsets(items: Sequence[Any]) -> pa.Buffer:
    """Where each begins and the last ends: a batch is far from the two gigabytes that 32 bits can address."""
    offsets = np.zeros(len(items) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, items), np.int32, len(items)), out=offsets[1:])
    return pa.py_buffer(offsets)


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    """A bit for each value: unset where it is null."""
    if None not in values:
        return None
    return pa.py_buffer(np.packbits([value is not None for value in values], bitorder="little"))


_CONTEXT = Context(prec=DIGITS * 4, rounding=ROUND_HALF_EVEN)


def _decimal(value: Decimal | None, kind: pa.DataType, column: str) -> Decimal | None:
    if value is None:
        return None
    if not value.is_finite():
        message = (
            f"column {column} holds {value}, which a decimal of Parquet cannot be; cast it to double precision, "
            'ask for numbers as text ("numbers": "text"), or for json, ndjson or csv'
        )
        raise Permanent(message)
    scale = kind.scale
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -scale:
        value = value.quantize(Decimal(1).scaleb(-scale), context=_CONTEXT)
    if value.adjusted() >= kind.precision - scale and value:
        message = (
            f"column {column} holds a number too large for Parquet; ask for numbers as text, or for json, ndjson or csv"
        )
        raise Permanent(message)
    return value
