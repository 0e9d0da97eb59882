"""Parquet as systems really write it: texts without a mark, short floats, IDs that are kept as decimals, names twice."""

from decimal import Decimal
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_project.ingest.decoding import formats
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.records import Envelope
from pipeline_project_tests.records import records_of
from pipeline_project_tests.unit.ingest.test_csv_shapes import NAMES


def read(table: pa.Table, **how: Any) -> tuple[list[Any], dict[int, str], Envelope]:
    file = BytesIO()
    pq.write_table(table, file, **how)
    envelope = Envelope()
    records, flaws = records_of(formats.chunks(BytesIO(file.getvalue()), envelope, NAMES))
    return records, flaws, envelope


@pytest.mark.parametrize("how", [{}, {"use_dictionary": False}, {"row_group_size": 2}])
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(3)])
def test_bytes_that_are_text_are_read_as_text(how: dict[str, Any], kind: pa.DataType) -> None:
    table = pa.table(
        {"id": pa.array([b"R-1", b"R-2", b"R-3"], kind), "company_name": pa.array([b"A  ", None, b"B\xc3\xbc"], kind)}
    )
    assert read(table, **how)[0] == [
        {"id": "R-1", "company_name": "A  "},
        {"id": "R-2"},
        {"id": "R-3", "company_name": "Bü"},
    ]


def test_nested_bytes_that_are_text_are_read_as_text() -> None:
    tags = pa.array([[b"a", None], []], pa.list_(pa.binary()))
    address = pa.array([{"city": b"X"}, None], pa.struct([("city", pa.binary())]))
    assert read(pa.table({"id": ["1", "2"], "tags": tags, "address": address}))[0] == [
        {"id": "1", "tags": ["a", None], "address": {"city": "X"}},
        {"id": "2", "tags": []},
    ]


def test_bytes_that_are_no_text_are_kept_in_base64_and_told() -> None:
    table = pa.table({"id": ["1", "2", "3"], "photo": pa.array([b"a", b"\xff\xd8", b"b"])})
    records, _, envelope = read(table, row_group_size=1)
    assert [record["photo"] for record in records] == ["YQ==", "/9g=", "Yg=="]
    assert envelope.notes.counts == {"binary_column": 1}
    with pytest.raises(ObjectFault) as caught:
        read(table.rename_columns(["id", "company_name"]))
    assert caught.value.code == "binary_column"
    assert "'company_name'" in caught.value.message


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False) | st.none(), min_size=1))
def test_a_short_float_has_its_shortest_digits(values: list[float | None]) -> None:
    table = pa.table({"id": [str(i) for i in range(len(values))], "x": pa.array(values, pa.float32())})
    found = [record.get("x") for record in read(table)[0]]
    assert pa.array([None if value is None else float(value) for value in found], pa.float32()).to_pylist() == values


def test_a_short_float_is_not_stretched() -> None:
    values = pa.array([1234.56, 0.1, None, float("nan")], pa.float32())
    nested = pa.array([[0.1], [], None, [0.3]], pa.list_(pa.float32()))
    records = read(pa.table({"id": ["1", "2", "3", "4"], "x": values, "y": nested}))[0]
    assert [record.get("x") for record in records] == [Decimal("1234.56"), Decimal("0.1"), None, None]
    assert [record.get("y") for record in records] == [[Decimal("0.1")], [], None, [Decimal("0.3")]]


def test_ids_that_are_kept_as_decimals_are_integers() -> None:
    decimals = pa.array([Decimal("7.00"), Decimal("8.50"), Decimal("12345678901234567890.00")], pa.decimal128(30, 2))
    records, flaws, _ = read(pa.table({"id": decimals}))
    assert (records[0], records[2], flaws) == ({"id": 7}, {"id": 12345678901234567890}, {2: "id_decimals"})
    records, flaws, _ = read(pa.table({"customer_id": [7.0, None, 2.0**53, float("nan")], "x": [7.0, 1.0, 2.0, 3.0]}))
    assert (records[0], records[1]) == ({"customer_id": 7, "x": 7}, {"x": 1})
    assert flaws == {3: "id_lost_digits"}


def test_a_name_that_occurs_twice_gets_a_number_or_refuses_the_file() -> None:
    columns = [pa.array(["1"]), pa.array(["a"]), pa.array(["b"])]
    records, _, envelope = read(pa.Table.from_arrays(columns, names=["id", "phone", "phone"]))
    assert records == [{"id": "1", "phone": "a", "phone_2": "b"}]
    assert envelope.notes.columns == {"id": "id", "phone": "phone", "phone_2": "phone"}
    with pytest.raises(ObjectFault) as caught:
        read(pa.Table.from_arrays(columns, names=["id", "company_name", "company_name"]))
    assert caught.value.code == "duplicate_column"
