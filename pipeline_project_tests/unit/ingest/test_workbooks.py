"""Workbooks and ZIP archives: one sheet, or one file, reads as its plain twin; all else is refused with the setting."""

import gzip
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest

from pipeline_project.ingest.decoding import formats, limits, streams, workbook_records
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.records import Envelope
from pipeline_project.sources.dialect import UNDECLARED, Dialect
from pipeline_project_tests.records import records_of
from pipeline_project_tests.unit.ingest.test_csv_shapes import HEADER, NAMES, PLAIN, ROWS
from pipeline_project_tests.workbooks import Day, archive, workbook

NAMED = ["customer_id", "company_name", "annual_revenue"]


def read(data: bytes, dialect: Dialect = UNDECLARED) -> tuple[list[Any], dict[int, str], Envelope]:
    envelope = Envelope()
    records, flaws = records_of(formats.chunks(BytesIO(data), envelope, NAMES, dialect))
    return records, flaws, envelope


def refused(data: bytes, dialect: Dialect = UNDECLARED) -> ObjectFault:
    with pytest.raises(ObjectFault) as caught:
        read(data, dialect)
    assert len(caught.value.message) < 600
    return caught.value


def test_a_sheet_is_read_with_its_types() -> None:
    sheet = [
        ["Export of today"],
        [],
        [*NAMED, "since", "active", "note"],
        [7, "A", 1.5, Day(45292), True, "#N/A"],
        ["00124", "B", 12345678901, Day(45292.5), None, "x"],
        [],
        [*NAMED, "since", "active", "note"],
        [None, "C", 1e300],
    ]
    records, flaws, envelope = read(workbook({"Data": sheet, "Empty": []}))
    assert (envelope.format, flaws) == ("xlsx", {})
    assert records == [
        {
            "customer_id": 7,
            "company_name": "A",
            "annual_revenue": Decimal("1.5"),
            "since": "2024-01-01",
            "active": True,
        },
        {
            "customer_id": "00124",
            "company_name": "B",
            "annual_revenue": 12345678901,
            "since": "2024-01-01T12:00:00",
            "note": "x",
        },
        {"company_name": "C", "annual_revenue": Decimal("1e300")},
    ]
    assert envelope.notes.counts == {"lines_above_header": 1, "repeated_header": 1}
    assert envelope.notes.shape == {"sheet": "Data", "header_line": 3}


def test_ids_and_totals_of_a_sheet_are_judged() -> None:
    rows = [NAMED, [7.5, "A", 1], [2.0**60, "B", 1], ["R-1", "C", 1], ["Summe", None, 3]]
    assert read(workbook({"Data": rows}))[1] == {1: "id_decimals", 2: "id_lost_digits", 4: "total_row"}


def test_a_sheet_in_several_chunks_keeps_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_RECORDS", 3)
    rows = [NAMED, *([f"R-{number}", "A", number] for number in range(10))]
    lines: list[int | None] = []
    records: list[Any] = []
    for chunk in formats.chunks(BytesIO(workbook({"Data": rows})), Envelope(), NAMES):
        records += chunk.records
        lines += [chunk.line(index) for index in range(len(chunk.records))]
    assert (len(records), lines) == (10, list(range(2, 12)))


def test_declared_settings_hold_for_sheets() -> None:
    rows = [["a", "b", "c"], ["R-1", "Alder", "1"], ["R-2", "Birch", "2"]]
    two = workbook({"Old": [NAMED, ["R-0", "x", "y"]], "New": rows})
    assert read(two, Dialect(sheet="New", header_lines=1, columns=tuple(NAMED)))[0] == PLAIN
    assert read(two, Dialect(sheet="New", skip_lines=1, header_lines=0, columns=tuple(NAMED)))[0] == PLAIN
    found = refused(two)
    assert (found.code, 'sheet = "Old"' in found.message) == ("several_sheets", True)
    found = refused(two, Dialect(sheet="Newer"))
    assert (found.code, "'Old', 'New'" in found.message) == ("no_sheet", True)


def test_a_workbook_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    good = workbook({"Data": [NAMED, ["R-1", "A", 1]]})
    assert refused(workbook({"Data": [["x", "y"], ["1", "2"]]})).code == "no_header"
    assert refused(workbook({"Data": []})).code == "empty"
    assert refused(archive({"xl/workbook.xml": b"no xml"})).code == "bad_workbook"
    assert refused(good[:-30]).code == "bad_archive"
    monkeypatch.setattr(workbook_records, "LARGEST", 100)
    assert refused(good).code == "too_large"


FILES = {
    "csv": (HEADER + ROWS).encode(),
    "json_lines": b'{"customer_id":"R-1","company_name":"Alder","annual_revenue":"1"}\n'
    b'{"customer_id":"R-2","company_name":"Birch","annual_revenue":"2"}\n',
}


@pytest.mark.parametrize("name", FILES)
def test_the_only_file_of_an_archive_is_read(name: str) -> None:
    content = archive({"folder/": b"", "folder/data": FILES[name], "__MACOSX/._data": b"x", "folder/.DS_Store": b"x"})
    records, flaws, envelope = read(content)
    assert (records, flaws, envelope.format) == (PLAIN, {}, f"{name}+zip")
    assert read(gzip.compress(content))[2].format == f"{name}+zip+gzip"


def test_other_archives_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one = FILES["csv"]
    several = refused(archive({"a.csv": one, "b.csv": one}))
    assert (several.code, "'a.csv', 'b.csv'" in several.message) == ("bad_archive", True)
    assert refused(archive({"__MACOSX/x": one})).code == "bad_archive"
    assert refused(archive({"a.zip": archive({"a.csv": one})})).code == "packed_twice"
    assert refused(archive({"a.gz": gzip.compress(one)})).code == "packed_twice"
    damaged = bytearray(archive({"a.csv": one * 100}))
    damaged[60:70] = bytes(10)
    assert refused(bytes(damaged)).code == "bad_archive"
    encrypted = bytearray(archive({"a.csv": one}))
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refused(bytes(encrypted)).message
    monkeypatch.setattr(streams, "BOMB_FLOOR", 100_000)
    assert refused(archive({"a.csv": HEADER.encode() + b"R-1,A,1\n" * 100_000})).code == "too_large"
