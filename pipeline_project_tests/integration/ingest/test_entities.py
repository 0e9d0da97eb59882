"""Entities from object to table, on a real database."""

import gzip
from typing import Any

import pytest

from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import Landing, ingest


def rows(database: FreshDatabase, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with database.owner.connect() as connection:
        return connection.execute(statement.encode(), parameters).fetchall()


@pytest.fixture
def landing() -> Landing:
    return Landing()


def customer(number: int, **fields: Any) -> dict[str, Any]:
    return {"customer_id": f"C{number}", "company_name": f"Company {number}", "annual_revenue": 1000 + number, **fields}


def test_an_envelope_becomes_rows_and_a_ledger_entry(database: FreshDatabase, landing: Landing) -> None:
    content = {"records": [customer(1, industry="Steel"), customer(2)], "metadata": {"recordCount": 2}}
    outcome = ingest(database.loader, landing, landing.put("crm-data/a.json", content))["crm-data/a.json"]
    assert (outcome.state, outcome.records, outcome.inserted) == ("loaded", 2, 2)
    assert rows(
        database, "SELECT canonical_id, name, revenue, industry, version FROM canonical.entities ORDER BY 1"
    ) == [
        ("crm_C1", "Company 1", 1001, "Steel", 1),
        ("crm_C2", "Company 2", 1002, None, 1),
    ]
    assert rows(database, "SELECT key, state, records, inserted, format FROM ingest.objects") == [
        ("crm-data/a.json", "loaded", 2, 2, "envelope")
    ]


def test_a_change_makes_a_version_and_a_repetition_does_not(database: FreshDatabase, landing: Landing) -> None:
    ingest(database.loader, landing, landing.put("crm-data/1", [customer(1), customer(2)]))
    second = ingest(database.loader, landing, landing.put("crm-data/2", [customer(1, annual_revenue=5), customer(2)]))
    assert (second["crm-data/2"].updated, second["crm-data/2"].unchanged) == (1, 1)
    third = ingest(database.loader, landing, landing.put("crm-data/3", [customer(2), customer(1, annual_revenue=5)]))
    assert third["crm-data/3"].unchanged == 2
    assert rows(database, "SELECT canonical_id, revenue, version FROM canonical.entities ORDER BY 1") == [
        ("crm_C1", 5, 2),
        ("crm_C2", 1002, 1),
    ]
    assert rows(database, "SELECT version, revenue FROM canonical.entity_versions") == [(1, 1001)]


def test_an_older_file_does_not_overwrite_newer_data_but_enters_history(
    database: FreshDatabase, landing: Landing
) -> None:
    old = landing.put("crm-data/old", [customer(1, annual_revenue=1)])
    new = landing.put("crm-data/new", [customer(1, annual_revenue=2)])
    ingest(database.loader, landing, new)
    outcome = ingest(database.loader, landing, old)["crm-data/old"]
    assert outcome.stale == 1
    assert rows(database, "SELECT revenue, version FROM canonical.entities") == [(2, 2)]
    assert rows(database, "SELECT revenue, version FROM canonical.entity_versions") == [(1, 1)]


def test_bad_rows_are_kept_and_good_ones_load(database: FreshDatabase, landing: Landing) -> None:
    content = b"""{"id": 1, "name": "A"}

{"id": 2}
{"id": 3, "name": "C", "revenue": -5}
{"id": 4, "name": "D"}
{"id": 5, "name": "E"}
"""
    outcome = ingest(database.loader, landing, landing.put("legacy-data/x", gzip.compress(content)))["legacy-data/x"]
    assert (outcome.state, outcome.inserted, outcome.rejected, outcome.format) == (
        "loaded_with_rejects",
        4,
        1,
        "json_lines+gzip",
    )
    found = rows(
        database,
        "SELECT ordinal, line, record_key, errors -> 0 ->> 'field', raw, status FROM ingest.rejects ORDER BY 1",
    )
    assert found == [
        (2, 3, "legacy_2", "name", b'{"id": 2}', "open"),
        (3, 4, "legacy_3", "revenue", b'{"id": 3, "name": "C", "revenue": -5}', "open"),
    ]
    ingest(database.loader, landing, landing.put("legacy-data/y", [{"id": 2, "name": "B"}]))
    assert rows(database, "SELECT ordinal, status FROM ingest.rejects ORDER BY 1") == [(2, "superseded"), (3, "open")]


def test_an_undecodable_object_fails_alone(database: FreshDatabase, landing: Landing) -> None:
    good = [landing.put(f"crm-data/{n}", [customer(n)]) for n in range(3)]
    bad = landing.put("crm-data/bad", b'{"records": [{"id": 1}, {"id": 2')
    outcomes = ingest(database.loader, landing, *good, bad)
    assert outcomes["crm-data/bad"].state == "failed"
    assert {outcomes[seen.key].state for seen in good} == {"loaded"}
    assert rows(database, "SELECT error_code, error_line, error_column FROM ingest.objects WHERE state = 'failed'") == [
        ("truncated", 1, 33)
    ]


def test_relationships_and_metrics(database: FreshDatabase, landing: Landing) -> None:
    outcomes = ingest(
        database.loader,
        landing,
        landing.put("crm-data/relationships/r", [{"parent_id": "C1", "child_id": "C2", "type": "owns"}]),
        landing.put("crm-data/metrics/m", [{"entity_id": "C1", "date": "2025-03-31", "type": "revenue", "value": 10}]),
    )
    assert [outcome.inserted for outcome in outcomes.values()] == [1, 1]
    relationships = "SELECT parent_canonical_id, child_canonical_id FROM analytics.entity_relationships"
    assert rows(database, relationships) == []
    ingest(database.loader, landing, landing.put("crm-data/e", [customer(1), customer(2)]))
    assert rows(database, relationships) == [("crm_C1", "crm_C2")]
    assert rows(database, "SELECT canonical_id, value FROM analytics.time_series_data") == [("crm_C1", 10)]
