"""The column report: which columns files had, which field each was read as, and what changed since the file before."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline_project.cli.main import app
from pipeline_project.settings import Settings
from pipeline_project.sources.dialect import Dialect, Variant
from pipeline_project_tests.fix_ingest import LEGACY, Rows, register
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import Landing, ingest

REPORTED = """
    SELECT o.key, s.names, s.fields, o.reading -> 'filled', o.reading -> 'records'
    FROM ingest.objects o LEFT JOIN ingest.column_sets s USING (column_set_id) ORDER BY o.last_modified, o.key"""
CUSTOMERS = [
    {"customer_id": "A", "company_name": "Alder", "annual_revenue": 0, "note": "n", "region": None},
    {"customer_id": "B", "company_name": "Birch", "annual_revenue": "", "tags": {"a": 1}, "region": None},
]
NAMES = ["annual_revenue", "company_name", "customer_id", "note", "region", "tags"]
FIELDS = ["revenue", "name", "source_id", None, "region", None]


def test_the_ledger_knows_the_columns_of_a_file(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    ingest(database.loader, landing, landing.put("crm-data/a.json", CUSTOMERS))
    assert rows(REPORTED) == [("crm-data/a.json", NAMES, FIELDS, [1, 2, 2, 1, 0, 1], 2)]


def test_files_with_equal_columns_share_a_set(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    ingest(database.loader, landing, *(landing.put(f"crm-data/{n}.json", CUSTOMERS) for n in range(3)))
    ingest(database.loader, landing, landing.put("crm-data/3.json", CUSTOMERS))
    assert rows("SELECT count(*) FROM ingest.column_sets") == [(1,)]
    assert rows("SELECT count(DISTINCT column_set_id), count(*) FROM ingest.objects") == [(1, 4)]


def test_a_file_does_not_inherit_columns_of_its_neighbour(
    database: FreshDatabase, landing: Landing, rows: Rows
) -> None:
    ingest(
        database.loader,
        landing,
        landing.put("crm-data/a.json", CUSTOMERS),
        landing.put("crm-data/b.json", [{"id": "C", "name": "Cedar"}]),
    )
    assert [row[1] for row in rows(REPORTED)] == [NAMES, ["id", "name"]]


def test_records_that_are_already_stored_are_looked_at(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    ingest(database.loader, landing, landing.put("crm-data/a.json", CUSTOMERS))
    outcome = ingest(database.loader, landing, landing.put("crm-data/b.json", CUSTOMERS))
    assert outcome["crm-data/b.json"].unchanged == 2
    assert [row[1:] for row in rows(REPORTED)] == [(NAMES, FIELDS, [1, 2, 2, 1, 0, 1], 2)] * 2


def test_records_that_are_not_on_the_fast_path_are_looked_at(
    database: FreshDatabase, landing: Landing, rows: Rows
) -> None:
    """The names of a nested object are columns where an alias goes into it, and only there."""
    partners = [
        {"businessId": 1, "businessName": " A ", "financials": {"annualRevenue": 1, "year": 2024}, "address": {"x": 1}},
        {"businessId": 2, "businessName": "B", "financials": {"annualRevenue": None}},
    ]
    ingest(database.loader, landing, landing.put("erp-data/a.json", partners))
    names = ["address", "businessId", "businessName", "financials.annualRevenue", "financials.year"]
    fields = [None, "source_id", "name", "revenue", None]
    assert rows(REPORTED) == [("erp-data/a.json", names, fields, [1, 2, 2, 1, 1], 2)]


def test_names_that_postgresql_cannot_hold_are_reported(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    record = {"id": "A", "name": "Alder", "x" * 300: 1}
    bad = {"id": "B", "name": "Birch", "nul\0": 1}
    outcome = ingest(database.loader, landing, landing.put("crm-data/a.json", [record, bad]))
    assert outcome["crm-data/a.json"].state == "loaded_with_rejects"
    assert rows(REPORTED)[0][1] == ["id", "name", "nul\ufffd", "x" * 200]


def drift(rows: Rows) -> list[tuple[object, ...]]:
    return rows(
        "SELECT o.key, d.before_key, d.fields, d.vanished, d.appeared, o.vanished FROM ingest.objects o "
        "LEFT JOIN ingest.column_drift d USING (object_id) ORDER BY o.last_modified"
    )


def many(**more: object) -> bytes:
    return json.dumps([{"id": n, "name": "A", **more} for n in range(100)]).encode()


def test_a_field_that_vanished_is_recorded(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    for name, content in (("a", many(country="DE", x=1)), ("b", many(y=1)), ("c", many(y=1))):
        ingest(database.loader, landing, landing.put(f"legacy-data/{name}", content))
    assert drift(rows) == [
        ("legacy-data/a", None, None, None, None, None),
        ("legacy-data/b", "legacy-data/a", ["country"], ["country (country)", "x"], ["y"], ["country"]),
        ("legacy-data/c", None, None, None, None, None),
    ]


def test_a_field_that_is_never_filled_any_more_has_vanished(
    database: FreshDatabase, landing: Landing, rows: Rows
) -> None:
    for name, content in (("a", many(country="DE")), ("b", many(country=None))):
        ingest(database.loader, landing, landing.put(f"legacy-data/{name}", content))
    assert drift(rows)[1] == ("legacy-data/b", "legacy-data/a", ["country"], [], [], ["country"])


def test_a_few_records_of_json_say_nothing_about_drift(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    for name, record in (("a", {"id": 1, "name": "A", "country": "DE"}), ("b", {"id": 2, "name": "B"})):
        ingest(database.loader, landing, landing.put(f"legacy-data/{name}", [record]))
    assert [row[1] for row in drift(rows)] == [None, None]


def test_files_are_compared_by_their_times_and_not_by_their_arrival(
    database: FreshDatabase, landing: Landing, rows: Rows
) -> None:
    """The late file is between the two others: it is compared with the first one."""
    for name, second, content in (("a", 1, many(country="DE")), ("c", 3, many(country="DE")), ("b", 2, many())):
        ingest(database.loader, landing, landing.put(f"legacy-data/{name}", content, second=second))
    assert [(row[0], row[1], row[5]) for row in drift(rows)] == [
        ("legacy-data/a", None, None),
        ("legacy-data/b", "legacy-data/a", ["country"]),
        ("legacy-data/c", "legacy-data/b", None),
    ]


@pytest.fixture
def pipeline(settings: Settings, database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs the command line and returns what it prints."""
    assert database.loader
    monkeypatch.setattr(Settings, "load", lambda: settings)

    def run(*arguments: object) -> str:
        return CliRunner(env={"COLUMNS": "250"}).invoke(app, [str(each) for each in arguments]).output

    return run


def lines(output: str) -> list[str]:
    """Return the rows of printed tables, and the lines between the tables, without the drawing."""
    return [" | ".join(cell.strip() for cell in re.split("[│┃]", line) if cell.strip()) for line in output.splitlines()]


def test_a_check_shows_the_columns_and_what_vanished(
    database: FreshDatabase, landing: Landing, pipeline: Callable[..., str], tmp_path: Path
) -> None:
    ingest(database.loader, landing, landing.put("legacy-data/a", many(country="DE", region="EU")))
    folder = tmp_path / "legacy-data"
    folder.mkdir()
    (folder / "b.json").write_bytes(many(industy="Steel", region=None, archived=True, y=1))
    shown = lines(pipeline("sources", "check", folder / "b.json"))
    assert "id | source_id | 100" in shown
    assert 'industy | attribute | 100 | did you mean industry = ["industy"]?' in shown
    assert (
        'archived | attribute | 100 | looks like a deletion flag; to read it as one, declare deleted = ["archived"]'
        in shown
    )
    assert "region | region | never" in shown
    assert "Compared with legacy-data/a, the file before:" in shown
    assert "fields that are not filled any more: country, region" in [line.strip() for line in shown]
    assert "columns that vanished: country (country)" in [line.strip() for line in shown]
    assert "columns that appeared: archived, industy, y" in [line.strip() for line in shown]


def test_a_check_says_when_only_some_records_were_looked_at(
    database: FreshDatabase, landing: Landing, pipeline: Callable[..., str], tmp_path: Path
) -> None:
    ingest(database.loader, landing, landing.put("legacy-data/a", many(country="DE")))
    folder = tmp_path / "legacy-data"
    folder.mkdir()
    (folder / "b.json").write_bytes(many(country="DE"))
    assert "country | country | 100% of 25 looked at" in lines(pipeline("sources", "check", folder / "b.json"))


def test_an_explanation_names_the_column_of_a_value(
    database: FreshDatabase, landing: Landing, pipeline: Callable[..., str]
) -> None:
    ingest(database.loader, landing, landing.put("crm-data/a.json", CUSTOMERS))
    shown = "\n".join(lines(pipeline("explain", "crm_A")))
    assert "name | Alder | crm-data/a.json record 1 column company_name (mapping 1" in shown
    assert "note | n | crm-data/a.json record 1 (mapping 1" in shown


def test_queries_see_the_columns_of_files(database: FreshDatabase, landing: Landing) -> None:
    ingest(database.loader, landing, landing.put("crm-data/a.json", CUSTOMERS))
    statement = """SELECT column_name, field, filled, looked_at FROM analytics.object_columns
        WHERE key = 'crm-data/a.json' ORDER BY place LIMIT 2"""
    with database.reader.connect() as connection:
        assert connection.execute(statement).fetchall() == [
            ("annual_revenue", "revenue", 1, 2),
            ("company_name", "name", 2, 2),
        ]


def test_a_table_has_its_columns_in_the_order_of_the_file(
    database: FreshDatabase, landing: Landing, rows: Rows
) -> None:
    """A header is compared whole: also a column that no row fills is there, and a small file shows what vanished."""
    for name, content in (("a", b"note,id,name,region\n,1,A,\n"), ("b", b"id,name\n1,A\n")):
        ingest(database.loader, landing, landing.put(f"legacy-data/{name}.csv", content))
    assert rows(REPORTED)[0][1:] == (
        ["note", "id", "name", "region"],
        [None, "source_id", "name", "region"],
        [0, 1, 1, 0],
        1,
    )
    assert drift(rows)[1] == (
        *("legacy-data/b.csv", "legacy-data/a.csv", ["region"]),
        *(["note", "region (region)"], [], ["region"]),
    )


def require(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    register(monkeypatch, dataclasses.replace(LEGACY, dialect=Dialect(require=names)))


@pytest.mark.parametrize(
    "content",
    [
        b"id,name\n1,A\n",
        b"id,name\n",
        b'[{"id": 1, "name": "A"}, {"id": 2, "name": "\\"UMSATZ\\":"}]',
    ],
    ids=["CSV", "header alone", "JSON"],
)
def test_a_file_without_a_required_column_is_refused(
    content: bytes, database: FreshDatabase, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(monkeypatch, "UMSATZ", "Name")
    outcome = ingest(database.loader, landing, landing.put("legacy-data/a", content))["legacy-data/a"]
    assert outcome.fault is not None
    assert outcome.fault.code == "missing_column"
    assert 'no column "UMSATZ", which `require`' in outcome.fault.message
    assert "Its columns are id, name" in outcome.fault.message


@pytest.mark.parametrize(
    "content",
    [
        b"id,name,Umsatz\n1,A,\n",
        b'[{"id": 1, "name": "A"}, {"id": 2, "name": "B", "UMSATZ": null}]',
        b"[]",
    ],
    ids=["CSV", "JSON", "no records"],
)
def test_a_required_column_needs_no_value(
    content: bytes, database: FreshDatabase, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(monkeypatch, "UMSATZ")
    ingest(database.loader, landing, landing.put("legacy-data/a", content))
    again = ingest(database.loader, landing, landing.put("legacy-data/b", content))["legacy-data/b"]
    assert (again.state, again.fault) == ("loaded", None)


def test_stored_records_do_not_replace_a_required_column(
    database: FreshDatabase, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(database.loader, landing, landing.put("legacy-data/a", [{"id": 1, "name": "A"}]))
    require(monkeypatch, "UMSATZ")
    outcome = ingest(database.loader, landing, landing.put("legacy-data/b", [{"id": 1, "name": "A"}]))
    fault = outcome["legacy-data/b"].fault
    assert fault is not None and fault.code == "missing_column"


def test_files_of_two_variants_are_not_compared(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = Variant(keys="legacy-data/old/**", dialect=Dialect())
    register(monkeypatch, dataclasses.replace(LEGACY, variants=(variant,)))
    for name, content in (("a", many(country="DE")), ("old/b", many()), ("c", many())):
        ingest(database.loader, landing, landing.put(f"legacy-data/{name}", content))
    assert [row[:2] for row in drift(rows)] == [
        ("legacy-data/a", None),
        ("legacy-data/old/b", None),
        ("legacy-data/c", "legacy-data/a"),
    ]


def test_variants_of_names_and_unread_values_are_shown(
    database: FreshDatabase, pipeline: Callable[..., str], tmp_path: Path
) -> None:
    assert database.loader
    folder = tmp_path / "crm-data"
    folder.mkdir()
    rows = [f"C{n},A,{n},active,2024" for n in range(9)]
    text = "\n".join(["customer_id,Company Name,Annual Revenue,deleted at,note", *rows, "C9,A,12%,,NULL", ""])
    (folder / "a.csv").write_text(text.replace("active", ""))
    shown = lines(pipeline("sources", "check", folder / "a.csv"))
    assert "Company Name | name | 10" in shown
    assert 'Annual Revenue | revenue | 10 | 1 unread: "12%"' in shown
    assert "deleted at | deleted | never" in shown
    assert any(
        line.startswith("Texts that stand for no value, for example `NULL`, count as not sent. | 1") for line in shown
    )
