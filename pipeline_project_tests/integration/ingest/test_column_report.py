"""The column report: which columns files had, which field each was read as, and what changed since the file before."""

import json

from pipeline_project_tests.fix_ingest import Rows
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
