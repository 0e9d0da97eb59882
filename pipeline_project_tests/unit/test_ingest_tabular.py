"""CSV and Parquet, as the JSON records that they become."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_project.ingest import formats, json_records, tabular
from pipeline_project.ingest.faults import ObjectFault
from pipeline_project.ingest.json_records import Envelope


def read(data: bytes) -> tuple[str, list[Any], list[int | None], dict[int, str]]:
    """Format, records, lines, and the rules of what is no record, by ordinal."""
    envelope = Envelope()
    records: list[Any] = []
    lines: list[int | None] = []
    flaws: dict[int, str] = {}
    for chunk in formats.chunks(BytesIO(data), envelope, ["id", "customer_id"]):
        for index, record in enumerate(chunk.records):
            if index in chunk.flaws:
                flaws[len(records) + 1] = chunk.flaws[index][0]
                records.append(bytes(record).decode())
            else:
                records.append(json.loads(bytes(record), parse_float=Decimal))
            lines.append(chunk.line(index))
    return envelope.format, records, lines, flaws


def fault(data: bytes) -> ObjectFault:
    with pytest.raises(ObjectFault) as caught:
        read(data)
    return caught.value


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_csv_is_read(delimiter: str, end: str) -> None:
    rows = ["id,name,note", '1,A,"x, ""y"""', "2,B,", "", ",,", f'3,"C{end}D",z']
    text = end.join(row.replace(",", delimiter) for row in rows)
    note = f'x{delimiter} "y"'
    assert read(text.encode()) == (
        "csv",
        [
            {"id": "1", "name": "A", "note": note},
            {"id": "2", "name": "B"},
            {"id": "3", "name": f"C{end}D", "note": "z"},
        ],
        [2, 3, 6],
        {},
    )


def test_ragged_rows_are_told_apart_and_good_ones_kept() -> None:
    found = read(b'id,name\n1,A\n2\n3,C,x\n"{""id"": 7}"\n4,D\n')
    assert found == (
        "csv",
        [{"id": "1", "name": "A"}, "2", "3,C,x", '{"id": 7}', {"id": "4", "name": "D"}],
        [2, 3, 4, 5, 6],
        {2: "ragged_row", 3: "ragged_row", 4: "ragged_row"},
    )


@given(
    rows=st.lists(
        st.tuples(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"))), max_size=20
    ),
    window=st.integers(8, 100),
)
def test_any_text_survives_a_csv(rows: list[tuple[str, str]], window: int) -> None:
    quoted = ['"' + text.replace('"', '""') + '"' for row in rows for text in row]
    text = "id,name\n" + "".join(f"{a},{b}\n" for a, b in zip(quoted[::2], quoted[1::2], strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tabular, "WINDOW", window)
        patch.setattr(json_records, "WINDOW", window)
        _, records, _, flaws = read(text.encode())
    assert flaws == {}
    assert [(each["id"], each.get("name", "")) for each in records] == rows


def test_lines_of_a_csv_count_from_the_first_line_of_the_file() -> None:
    assert read(b"\n\nid,name\n\n1,A\n")[1:3] == ([{"id": "1", "name": "A"}], [5])


def test_the_first_column_may_have_no_name() -> None:
    """As pandas writes an index."""
    assert read(b"\tid\tname\n0\t7\tA\n")[1] == [{"": "0", "id": "7", "name": "A"}]


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"PK\x03\x04 a spreadsheet", "unknown_format", 1),
        (b"just some words\nand more", "unknown_format", 1),
        (b"7", "unknown_format", 1),
        (b'"text"', "unknown_format", 1),
        (b"null", "unknown_format", 1),
        (b"id,name,id\n", "bad_csv", 1),
        (b'id,name\n1,A\n2,"B\n3,C\n', "bad_csv", 3),
        (b'id,name\n1,"A"x\n', "bad_csv", 2),
        (b"id,name\n1,A\n2,M\xfcller\n", "bad_encoding", 3),
    ],
)
def test_faults_of_a_csv(content: bytes, code: str, line: int) -> None:
    found = fault(content)
    assert (found.code, found.line) == (code, line)


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
    monkeypatch.setattr(tabular, "BOMB_FLOOR", 1_000_000)
    assert fault(file.getvalue()).code == "too_large"


def test_wide_rows_of_parquet_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "WINDOW", 10_000)
    data = BytesIO(parquet(pa.array([f"{number:0300}" for number in range(1000)])))
    sizes = [len(chunk.records) for chunk in formats.chunks(data, Envelope(), ["id"])]
    assert sum(sizes) == 1000
    assert max(sizes) < 40
