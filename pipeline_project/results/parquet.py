"""Parquet, apart from the other encoders because of pyarrow: the Lambda has none.

A numeric column of no declared scale becomes decimal(38, 18): money has at most 12 places here. A quotient with more
than 18 places is rounded half to even at the 18th; a number with more than 20 digits before the point is refused.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_project.analytics.execution import Column, Row
from pipeline_project.errors import Permanent
from pipeline_project.results.encoders import as_text

ROW_GROUP_ROWS = 50_000
DIGITS, PLACES = 38, 18
TYPES: dict[str, pa.DataType] = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "date": pa.date32(),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    "timestamp without time zone": pa.timestamp("us"),
    "bytea": pa.binary(),
    "numeric": pa.decimal128(DIGITS, PLACES),
}


class ParquetEncoder:
    """One row group for each 50,000 rows, zstd."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.rows = 0
        self._columns = columns
        self._schema = pa.schema([(column.name, _arrow_type(column.type)) for column in columns])
        self._sink = _Outbox()
        self._writer = pq.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._pending: list[pa.RecordBatch] = []

    def start(self) -> bytes:
        return b""

    def batch(self, rows: Sequence[Row]) -> bytes:
        self.rows += len(rows)
        values = list(zip(*rows, strict=True)) or [()] * len(self._columns)
        arrays = [_array(items, field) for items, field in zip(values, self._schema, strict=True)]
        self._pending.append(pa.record_batch(arrays, schema=self._schema))
        if sum(batch.num_rows for batch in self._pending) >= ROW_GROUP_ROWS:
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


def _arrow_type(name: str) -> pa.DataType:
    if name.endswith("[]"):
        return pa.list_(_arrow_type(name.removesuffix("[]")))
    if name.startswith("numeric("):
        precision, scale = (int(part) for part in name[len("numeric(") : -1].split(","))
        if 0 <= scale <= precision <= DIGITS:
            return pa.decimal128(precision, scale)
        name = "numeric"
    return TYPES.get(name, pa.string())


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if pa.types.is_decimal(field.type):
        try:
            return pa.array(values, type=field.type)
        except pa.ArrowInvalid:  # one of them at least is no number, or has more digits than the column
            values = [_decimal(value, field) for value in values]
    elif pa.types.is_string(field.type):
        values = [value if value is None or isinstance(value, str) else as_text(value) for value in values]
    elif pa.types.is_list(field.type):
        values = [None if value is None else [_element(item, field) for item in value] for value in values]
    return pa.array(values, type=field.type)


def _element(value: Any, field: pa.Field) -> Any:
    inner = field.type.value_type
    if pa.types.is_decimal(inner):
        return _decimal(value, pa.field(field.name, inner))
    if pa.types.is_string(inner) and value is not None and not isinstance(value, str):
        return as_text(value)
    return value


_CONTEXT = Context(prec=DIGITS * 4, rounding=ROUND_HALF_EVEN)


def _decimal(value: Decimal | None, field: pa.Field) -> Decimal | None:
    if value is None or not value.is_finite():
        return None
    scale = field.type.scale
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -scale:
        value = value.quantize(Decimal(1).scaleb(-scale), context=_CONTEXT)
    if value.adjusted() >= field.type.precision - scale and value:
        message = f"column {field.name} holds a number too large for Parquet; ask for json, ndjson or csv"
        raise Permanent(message)
    return value
