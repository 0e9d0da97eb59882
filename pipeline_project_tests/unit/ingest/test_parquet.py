"""Parquet, as the JSON records that it becomes."""

import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline_project.ingest.decoding import formats, limits, streams
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.records import Envelope
from pipeline_project_tests.records import fault, read


def parquet(column: pa.Array) -> bytes:
    file = BytesIO()
    pq.write_table(pa.table({"id": list(range(1, len(column) + 1)), "x": column}), file)
    return file.getvalue()


moment = datetime(2025, 3, 1, 12, 30, 15, 123456)  # noqa: DTZ001 of Parquet without a zone


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([Decimal("12345678901234567890.12")]), Decimal("12345678901234567890.12")),
        (pa.array([date(2025, 3, 1)]), "2025-03-01"),
        (pa.array([moment], pa.timestamp("us")), "2025-03-01 12:30:15.123456"),
        (pa.array([moment], pa.timestamp("ns")), "2025-03-01 12:30:15.123456"),
        (pa.array([moment.replace(tzinfo=UTC)], pa.timestamp("us", "+02:00")), "2025-03-01 12:30:15.123456"),
        (pa.array([{"a": {"b": [1, None]}, "t": moment}]), {"a": {"b": [1, None]}, "t": "2025-03-01 12:30:15.123456"}),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), [["k", 1]]),
        (pa.array(["a"]).dictionary_encode(), "a"),
        (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
        (pa.array([b"\xff\x00"]), "/wA="),
        (pa.array([float("nan")]), None),
        (pa.array([None]), None),
        # Beyond what Python's dates can hold: a text, which no date field takes.
        (pa.array([10**8], pa.int32()).cast(pa.date32()), "<value out of range: 100000000>"),
    ],
)
def test_a_parquet_column_keeps_its_meaning(column: pa.Array, expected: Any) -> None:
    format_, records, _, _ = read(parquet(column))
    assert format_ == "parquet"
    assert [record.get("x") for record in records] == [expected]


def test_faults_of_parquet() -> None:
    whole = parquet(pa.array(range(1000)))
    assert fault(whole[:-20]).code == "bad_parquet"
    assert fault(whole[:200] + b"\xff" * 100 + whole[300:]).code == "bad_parquet"
    assert fault(b"PAR1").code == "bad_parquet"


def test_a_parquet_bomb_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    file = BytesIO()
    pq.write_table(pa.table({"id": ["x" * 3_000_000]}), file, compression="zstd", use_dictionary=False)
    monkeypatch.setattr(streams, "BOMB_FLOOR", 1_000_000)
    assert fault(file.getvalue()).code == "too_large"


def test_wide_rows_of_parquet_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WINDOW", 10_000)
    data = BytesIO(parquet(pa.array([f"{number:0300}" for number in range(1000)])))
    sizes = [len(chunk.records) for chunk in formats.chunks(data, Envelope(), FieldNames(["id"]))]
    assert sum(sizes) == 1000
    assert max(sizes) < 40


# --- bombs: what is repeated is stored once


def repeated(value: Any, kind: pa.DataType, rows: int) -> pa.Array:
    """A column that says the same in each row."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([value], kind))


def written(column: pa.Array, **how: Any) -> bytes:
    file = BytesIO()
    pq.write_table(pa.table({"id": repeated("7", pa.string(), len(column)), "x": column}), file, **how)
    return file.getvalue()


def lists(values: pa.Array, each: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(range(0, len(values) + 1, each), pa.int32()), values)


def delta(column: pa.Array) -> bytes:
    return written(column, use_dictionary=False, column_encoding={"x": "DELTA_BYTE_ARRAY"}, compression="zstd")


_pools: list[pa.MemoryPool] = []
"""Kept: what was taken from a pool may live for longer than the test."""


@contextmanager
def arrow_memory() -> Iterator[pa.MemoryPool]:
    """What Arrow takes meanwhile."""
    _pools.append(pa.proxy_memory_pool(pa.system_memory_pool()))
    usual = pa.default_memory_pool()
    pa.set_memory_pool(_pools[-1])
    try:
        yield _pools[-1]
    finally:
        pa.set_memory_pool(usual)


LARGE = "x" * 100_000
BOMBS: dict[str, Callable[[], bytes]] = {
    "a text": lambda: written(repeated("x" * 1_000_000, pa.string(), 1_000_000)),
    "bytes": lambda: written(repeated(LARGE.encode(), pa.binary(), 100_000)),
    "a text in a struct": lambda: written(
        pa.StructArray.from_arrays([repeated(LARGE, pa.string(), 100_000)], names=["inner"])
    ),
    "a text in lists": lambda: written(lists(repeated(LARGE, pa.string(), 100_000), 1000)),
    "a text in a map": lambda: written(
        pa.MapArray.from_arrays(
            pa.array(range(0, 100_001, 100), pa.int32()),
            pa.array(["k"] * 100_000),
            repeated(LARGE, pa.string(), 100_000),
        )
    ),
    "a text in one list": lambda: written(lists(repeated(LARGE, pa.string(), 1_000_000), 1_000_000)),
    "a number": lambda: written(repeated(7, pa.int64(), 200_000)),
    "numbers in one list": lambda: written(lists(repeated(7, pa.int64(), 2_000_000), 2_000_000)),
    "bytes of a fixed length": lambda: written(
        repeated(LARGE.encode(), pa.binary(100_000), 1000).cast(pa.binary(100_000))
    ),
    "a beginning": lambda: delta(pa.array(["x" * 200_000] * 1000)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_repetitions_is_refused_and_memory_stays_flat(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BOMB_FLOOR", 1_000_000)
    bomb = BOMBS[name]()
    assert len(bomb) < 1_200_000
    with arrow_memory() as pool:
        tracemalloc.start()
        try:
            with pytest.raises(ObjectFault) as caught:
                deque(formats.chunks(BytesIO(bomb), Envelope(), FieldNames(["id"])), maxlen=0)
            python = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert caught.value.code == "too_large"
    assert "1,000,000" in caught.value.message
    assert pool.max_memory() + python < 100_000_000


def test_a_row_that_is_too_large_is_told_by_what_else_it_says() -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([1, 0, 0, 1], pa.int32()), ["x" * (16 * 1024 * 1024 + 1), "small"])
    file = BytesIO()
    pq.write_table(pa.table({"id": [1, 2, 3, 4], "x": texts}), file)
    _, records, _, flaws = read(file.getvalue())
    assert records == [{"id": 1, "x": "small"}, '{"id":2}', '{"id":3}', {"id": 4, "x": "small"}]
    assert flaws == {2: "too_large", 3: "too_large"}


@pytest.mark.parametrize(
    "how", [{}, {"use_dictionary": False, "column_encoding": {"delta": "DELTA_BYTE_ARRAY"}}, {"compression": "zstd"}]
)
def test_what_is_repeated_in_honest_measure_is_read(how: dict[str, Any]) -> None:
    """Columns of a few values, columns sent by none, and texts as what they differ in."""
    rows = 6000
    table = pa.table(
        {
            "id": range(rows),
            "status": pa.array(["active", "closed"] * (rows // 2)),
            "delta": [f"the name of {number // 7}" for number in range(rows)],
            "tags": [["a", None], []] * (rows // 2),
            **{f"empty {number}": pa.nulls(rows, pa.string()) for number in range(50)},
        }
    )
    file = BytesIO()
    pq.write_table(table, file, row_group_size=2500, **how)
    _, records, _, flaws = read(file.getvalue())
    assert flaws == {}
    assert records == [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]


def test_many_columns_of_which_little_was_sent_are_read_a_few_rows_at_a_time() -> None:
    file = BytesIO()
    rows, columns = 1000, 1000
    pq.write_table(
        pa.table({"id": range(rows), **{f"empty {number}": pa.nulls(rows) for number in range(columns)}}), file
    )
    sizes = [len(chunk.records) for chunk in formats.chunks(BytesIO(file.getvalue()), Envelope(), FieldNames(["id"]))]
    assert sum(sizes) == rows
    assert max(sizes) * columns < 300_000
