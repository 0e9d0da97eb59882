"""Files as systems really send them, through S3: what loads, what is rejected, and what is refused with which setting."""

import dataclasses
import gzip
import json
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline_project.ingest import ledger
from pipeline_project.ingest.discovery import list_all
from pipeline_project.ingest.loading import worker
from pipeline_project.sources import crm
from pipeline_project.sources.dialect import Dialect, Variant
from pipeline_project_tests.fix_aws import Account
from pipeline_project_tests.fix_ingest import register
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.workbooks import archive, workbook

HEADER = "customer_id,company_name,annual_revenue\n"
LOADED = {"R-1": ("Alder", 1), "R-2": ("Birch", 2)}
ROWS = "R-1,Alder,1\nR-2,Birch,2\n"
RECORDS = [{"customer_id": key, "company_name": name, "annual_revenue": value} for key, (name, value) in LOADED.items()]
CELLS = [HEADER.strip().split(","), *([key, *values] for key, values in LOADED.items())]


@dataclass(frozen=True)
class Case:
    """A file, and its outcome. IDs are made unique, so that all files can be loaded together."""

    content: str | bytes | Any
    code: str | None = None
    told: str = ""
    """A part of the message."""
    noted: set[str] = field(default_factory=set)
    rejects: dict[int, str] = field(default_factory=dict)
    dialect: Dialect | None = None
    key: str = ""
    """Folder and name below the source."""


def parquet(*names: str, **columns: Any) -> bytes:
    file = BytesIO()
    table = pa.table(columns) if not names else pa.Table.from_arrays(list(columns.values()), names=list(names))
    pq.write_table(table, file)
    return file.getvalue()


TABLE = HEADER + ROWS
CASES = {
    # Text
    "UTF-16 without a mark": Case(TABLE.encode("utf-16-le")),
    "cp1252": Case((TABLE + "R-3,Müller,1\n").encode("cp1252"), "bad_encoding", "'R-3,Müller,1' in cp1252"),
    "cp1252, declared": Case(TABLE.encode("cp1252"), dialect=Dialect(encoding="cp1252")),
    "UTF-8 where cp1252 is declared": Case(
        (TABLE + "R-3,Ü,1\n").encode(), "encoding_mismatch", 'encoding = "utf-8"', dialect=Dialect(encoding="cp1252")
    ),
    "pipes": Case(TABLE.replace(",", "|")),
    "two pipes": Case(TABLE.replace(",", "||"), "ambiguous_delimiter", 'delimiter = "||"'),
    "two pipes, declared": Case(TABLE.replace(",", "||"), dialect=Dialect(delimiter="||")),
    "sep line": Case("sep=;\n" + TABLE.replace(",", ";")),
    "title lines": Case("Export\n\n" + TABLE, noted={"lines_above_header"}),
    "dashes": Case(HEADER + "---,---,---\n" + ROWS, noted={"ruler"}),
    "second header": Case(HEADER + ",[text],[EUR]\n" + ROWS, rejects={1: "header_row"}),
    "joined parts": Case(gzip.compress(TABLE.encode()) + gzip.compress(HEADER.encode()), noted={"repeated_header"}),
    "joined parts with other columns": Case(
        TABLE + "company_name,customer_id,annual_revenue\nCedar,R-3,1\n", "header_changed", "line 4"
    ),
    "no header": Case(ROWS, "no_header", "`columns` under `[dialect]`"),
    "no header, declared": Case(ROWS, dialect=Dialect(columns=tuple(CELLS[0]))),
    "rows affected": Case(TABLE + "\n(2 rows affected)\n", noted={"footer"}),
    "copyright": Case(TABLE + "(c) Example\n", rejects={3: "ragged_row"}),
    "total": Case(TABLE + "Total,2 rows,3\n", rejects={3: "total_row"}),
    "surplus cells": Case(TABLE.replace("1\n", "1,,\n"), noted={"empty_surplus_cells"}),
    "blanks before quotes": Case(HEADER + 'R-1, "Alder", "1"\nR-2, "Birch", "2"\n'),
    "backslashes": Case(HEADER + 'R-1,"Alder",1\nR-2,"Birch",2\nR-3,"a \\"b\\" c",3\n', noted={"backslash_escapes"}),
    "a field twice": Case("customer_id,company_name,company_name\nR-1,A,B\n", "duplicate_column", "'company_name'"),
    "an attribute twice": Case(
        "customer_id,company_name,annual_revenue,phone,phone\nR-1,Alder,1,7,8\nR-2,Birch,2,,\n", noted={"renamed_column"}
    ),
    # JSON
    "concatenated": Case("".join(map(json.dumps, RECORDS))),
    "OData": Case({"@odata.context": "x", "value": RECORDS}),
    "a page of several": Case({"records": RECORDS, "done": False}, noted={"unfinished_page"}),
    "deeper": Case({"d": {"results": RECORDS}}, "records_elsewhere", 'records = "d.results"'),
    "deeper, declared": Case({"d": {"results": RECORDS}}, dialect=Dialect(records="d.results")),
    "an envelope with an own id": Case(
        {"id": "list-7", "name": "All", "members": RECORDS}, "ambiguous_envelope", 'records = "members"'
    ),
    "an event with an own id": Case({"id": "e", "detail": RECORDS[0]}, "ambiguous_envelope", 'record = "detail"'),
    "events, declared": Case([{"id": "e", "detail": each} for each in RECORDS], dialect=Dialect(record="detail")),
    # Parquet
    "unmarked text": Case(
        parquet(customer_id=[b"R-1", b"R-2"], company_name=[b"Alder", b"Birch"], annual_revenue=pa.array([1, 2], pa.float32()))
    ),
    "bytes in a field": Case(parquet(customer_id=["R-1"], company_name=[b"\xff"]), "binary_column", "'company_name'"),
    "bytes beside": Case(
        parquet(customer_id=["R-1", "R-2"], company_name=["Alder", "Birch"], annual_revenue=[1, 2], photo=[b"\xff", b""]),
        noted={"binary_column"},
    ),
    # Workbooks and archives
    "workbook": Case(workbook({"Data": CELLS, "Notes": []})),
    "workbook with two sheets": Case(workbook({"A": CELLS, "B": CELLS}), "several_sheets", 'sheet = "A"'),
    "workbook with two sheets, declared": Case(workbook({"A": CELLS, "B": [["x"]]}), dialect=Dialect(sheet="A")),
    "archive": Case(archive({"a.csv": TABLE.encode()})),
    "archive of two": Case(archive({"a.csv": TABLE.encode(), "b.csv": b"x"}), "bad_archive", "'b.csv'"),
    # Keys
    "manifest": Case({"entries": []}, "not_data", "ignore_keys", key="x/manifest.json"),
    "folder of a dataset, almost": Case(
        "parent_id,child_id\n1,2\n", "no_header", "did you mean 'relationships'?", key="relationship/a"
    ),
    "folder as a field": Case(
        "customer_id,company_name\nR-1,Alder\nR-2,Birch\n",
        key="annual_revenue=2/a",
        dialect=Dialect(key_fields=("annual_revenue",)),
    ),
}  # fmt: skip


def content_of(case: Case) -> bytes:
    if isinstance(case.content, bytes):
        return case.content
    return (case.content if isinstance(case.content, str) else json.dumps(case.content)).encode()


@pytest.mark.parametrize("name", CASES)
def test_a_file_has_its_documented_outcome(
    name: str, database: FreshDatabase, aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    key = f"crm-data/{case.key or 'file'}"
    if case.dialect is not None:
        register(monkeypatch, dataclasses.replace(crm.SOURCE, variants=(Variant(keys="**", dialect=case.dialect),)))
    aws.s3.put_object(Bucket=aws.settings.landing_bucket, Key=key, Body=content_of(case))
    with database.loader.connect(autocommit=True) as connection:
        assert list_all(connection, aws.s3, aws.settings.landing_bucket).new == 1
        waiting = [each.object_id for each in ledger.waiting(connection, 10)]
    loader = worker.Worker(database.loader, aws.s3, aws.settings, apart=None)
    (outcome,) = loader.ingest(waiting)
    message = outcome.fault.message if outcome.fault else ""
    assert (outcome.fault.code if outcome.fault else None) == case.code, message
    assert case.told in message
    assert len(message) < 600
    with psycopg.connect(database.admin) as connection:
        stored = connection.execute("SELECT source_id, name, revenue FROM canonical.entities").fetchall()
        rejects = dict(connection.execute("SELECT ordinal, errors -> 0 ->> 'rule' FROM ingest.rejects").fetchall())
        (reading,) = connection.execute("SELECT reading FROM ingest.objects").fetchone() or (None,)
    if case.code:
        assert stored == []
        return
    expected = {**LOADED, "R-1": ("Alder", 2)} if "annual_revenue=2" in key else LOADED
    assert {key: values for key, *values in stored if key != "R-3"} == {key: list(row) for key, row in expected.items()}
    assert rejects == case.rejects
    assert case.noted <= set((reading or {}).get("notes", {}))


def test_what_tools_leave_behind_is_not_listed(database: FreshDatabase, aws: Account) -> None:
    for name in ("_SUCCESS", "part-0.csv", ".part-0.csv.crc", "year=2024/_x=1/a.csv"):
        aws.s3.put_object(Bucket=aws.settings.landing_bucket, Key=f"CRM-data/Entities/{name}", Body=TABLE.encode())
    with database.loader.connect(autocommit=True) as connection:
        assert tuple(list_all(connection, aws.s3, aws.settings.landing_bucket)) == (2, 2)
        assert {(each.source, each.dataset) for each in ledger.waiting(connection, 10)} == {("crm", "entities")}
