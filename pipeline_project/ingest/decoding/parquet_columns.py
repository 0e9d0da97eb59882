"""The types of Parquet columns, as records have them: texts without a mark and short floats."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.notes import Notes


def readable_type(kind: Any, times: Callable[[pa.TimestampType], pa.DataType], floats: pa.DataType) -> pa.DataType:
    """Return `kind` with dates as strings, timestamps as `times`, and numbers of 32 bits as `floats`, at any depth.

    Python's dates end with the year 9999. A number of 32 bits goes through its shortest text: 1234.56 is not 1234.56005859375.
    """

    def leaf(each: Any) -> pa.DataType:
        if pa.types.is_timestamp(each):
            return times(each)
        if pa.types.is_float32(each):
            return floats
        return pa.string() if pa.types.is_date(each) else each

    return _with_leaves(kind, leaf)


def as_text(kind: Any) -> pa.DataType:
    """Return `kind` with bytes as strings, at any depth."""
    return _with_leaves(kind, lambda each: pa.string() if _is_bytes(each) else each)


def _with_leaves(kind: Any, leaf: Callable[[Any], pa.DataType]) -> pa.DataType:
    """Return `kind` with another type for each of its leaves. Dictionaries are dissolved."""

    def of(each: Any) -> pa.DataType:
        return _with_leaves(each, leaf)

    if pa.types.is_dictionary(kind):
        return of(kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(of(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(of(kind.key_type), of(kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(of(kind.value_type)))
    return leaf(kind)


def _is_bytes(kind: Any) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _has_bytes(kind: Any) -> bool:
    """Check whether a type holds bytes at any depth."""
    return not as_text(kind).equals(_with_leaves(kind, lambda each: each))


def text_columns(parquet: pq.ParquetFile, columns: Sequence[str], rows_at_once: Iterable[int]) -> set[str]:
    """Return the columns of bytes whose values are all UTF-8. Many writers do not mark their texts as texts.

    `rows_at_once`: for each row group, how many rows of it may be in memory.
    """
    schema = parquet.schema_arrow
    places = [place for place, field in enumerate(schema) if _has_bytes(field.type)]
    found = {columns[place] for place in places}
    if not places:
        return found
    sent = [schema.names[place] for place in places]
    for number, rows in enumerate(rows_at_once):
        for batch in parquet.iter_batches(rows, row_groups=[number], columns=sent):
            for place, column in zip(places, batch.columns, strict=True):
                if columns[place] in found and not _is_text(column):
                    found.remove(columns[place])
    return found


def _is_text(column: Any) -> bool:
    values = column.dictionary if pa.types.is_dictionary(column.type) else column
    try:
        values.cast(as_text(values.type))
    except pa.ArrowException:
        return False
    return True


def note_bytes(fields: Iterable[Any], notes: Notes, names: FieldNames) -> None:
    """Note columns that hold bytes. Raises ObjectFault if one of them belongs to a field of the model."""
    for field in fields:
        if not _has_bytes(field.type):
            continue
        if names.field_of(field.name) or names.is_id(field.name):
            raise ObjectFault(
                "binary_column",
                f"column {field.name[:50]!r} belongs to a field, and holds bytes that are no UTF-8: export it as text",
            )
        notes.add("binary_column", sample=field.name)


def can_have_decimals(kind: Any) -> bool:
    """Check whether a type holds numbers with decimals. Writers use such types for integers, too."""
    return pa.types.is_floating(kind) or (pa.types.is_decimal(kind) and kind.scale > 0)
