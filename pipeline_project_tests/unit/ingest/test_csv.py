"""CSV, as the JSON records that it becomes."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_project.ingest.decoding import formats, limits
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.records import Envelope
from pipeline_project_tests.records import fault, read


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
        patch.setattr(limits, "WINDOW", window)
        _, records, _, flaws = read(text.encode())
    assert flaws == {}
    assert [(each["id"], each.get("name", "")) for each in records] == rows


def test_lines_of_a_csv_count_from_the_first_line_of_the_file() -> None:
    assert read(b"\n\nid,name\n\n1,A\n")[1:3] == ([{"id": "1", "name": "A"}], [5])


@pytest.mark.parametrize(
    ("content", "record"),
    [
        (b"\tid\tname\n0\t7\tA\n", {"column_1": "0", "id": "7", "name": "A"}),  # as pandas writes an index
        (b"id,name,,\n7,A,,\n", {"id": "7", "name": "A"}),  # as spreadsheets write empty columns
        (b"id,name, ,\n7,A,x,y\n", {"id": "7", "name": "A", "column_3": "x", "column_4": "y"}),
    ],
)
def test_a_column_without_a_name_is_named_after_its_place(content: bytes, record: dict[str, str]) -> None:
    assert read(content)[1] == [record]


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"PK\x03\x04 a spreadsheet", "bad_archive", None),
        (b"just some words\nand more", "unknown_format", 1),
        (b"7", "unknown_format", 1),
        (b'"text"', "unknown_format", 1),
        (b"null", "unknown_format", 1),
        (b"id,name,id\n", "duplicate_column", 1),
        (b'id,name\n1,A\n2,"B\n3,C\n', "bad_csv", 3),
        (b'id,name\n1,"A"x\n', "bad_csv", 2),
        (b"id,name\n1,A\n2,M\xfcller\n", "bad_encoding", 3),
    ],
)
def test_faults_of_a_csv(content: bytes, code: str, line: int | None) -> None:
    found = fault(content)
    assert (found.code, found.line) == (code, line)


def test_a_chunk_of_long_rows_is_no_larger_than_one_of_short_ones() -> None:
    rows = 40
    data = b"id,name\n" + b"".join(f"{number},{'x' * 500_000}\n".encode() for number in range(rows))
    sizes = [sum(map(len, chunk.records)) for chunk in formats.chunks(BytesIO(data), Envelope(), FieldNames(["id"]))]
    assert max(sizes) < limits.WINDOW + 600_000


def test_a_row_that_is_too_large_is_told_and_its_neighbours_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECORD_LIMIT", 1000)
    _, records, lines, flaws = read(b"id,name\n1,A\n2," + b"x" * 1000 + b"\n3,C\n")
    assert (records[0], records[2]) == ({"id": "1", "name": "A"}, {"id": "3", "name": "C"})
    assert records[1].startswith('{"id":"2","name":"xxx')
    assert (lines, flaws) == ([2, 3, 4], {2: "too_large"})
