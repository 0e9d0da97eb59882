"""The checks of the tables: each finds what it is about and nothing else, and the blocking ones stop what would mislead."""

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from pipeline_project.canonical.checks import COUNTED, SHOWN, Finding, checks, run
from pipeline_project.definitions import definitions
from pipeline_project.ingest import ledger
from pipeline_project.ingest.discovery import listing as discovery
from pipeline_project.orchestration.assets import checks as table_checks
from pipeline_project.orchestration.names import result_key
from pipeline_project.services import Services
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import Landing, ingest

CHECKS = {check.name: check for check in checks()}
DATE = "2025-05-01"


@pytest.fixture
def landing() -> Landing:
    return Landing()


def customer(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"C{number}",
        "name": f"Company {number}",
        "country": "DE",
        "industry": "Steel",
        "revenue": 1000,
        **fields,
    }


def load(database: FreshDatabase, landing: Landing) -> None:
    """What every check is content with."""
    ingest(database.loader, landing, landing.put("crm-data/1", [customer(1), customer(2)]))
    ingest(database.loader, landing, landing.put("crm-data/2", [customer(1, revenue=5), customer(3)]))
    ingest(database.loader, landing, landing.put("erp-data/1", [{**customer(9), "businessName": "Company 9"}]))
    edge = {"parent_id": "C1", "child_id": "C2", "type": "owns"}
    metric = {"entity_id": "C1", "date": DATE, "type": "sales", "value": 10}
    ingest(database.loader, landing, landing.put("crm-data/relationships/1", [edge]))
    ingest(database.loader, landing, landing.put("crm-data/metrics/1", [metric]))


def found(database: FreshDatabase) -> dict[str, Finding]:
    """What the checks find, of those that find anything."""
    findings = {name: run(database.loader, check) for name, check in CHECKS.items()}
    return {name: finding for name, finding in findings.items() if finding.count}


def change(database: FreshDatabase, statement: str) -> None:
    with database.owner.connect() as connection:
        assert connection.execute(statement.encode()).rowcount


def test_good_data_is_good(database: FreshDatabase, landing: Landing) -> None:
    assert found(database) == {}
    load(database, landing)
    assert found(database) == {}


@pytest.mark.parametrize(
    ("check", "content"),
    [
        ("entities_unique", [customer(4), customer(4, id=" c4")]),
        ("entities_complete", [customer(number, country=None) for number in range(10, 20)]),
        ("entities_agree_across_sources", [customer(4, name="company 9 ", revenue=500)]),
        ("rejects_are_few", [customer(4), {"id": 5}]),
    ],
)
def test_suspicious_content_is_found(
    check: str, content: list[dict[str, Any]], database: FreshDatabase, landing: Landing
) -> None:
    load(database, landing)
    ingest(database.loader, landing, landing.put("crm-data/bad", content))
    assert list(found(database)) == [check]


@pytest.mark.parametrize(
    ("check", "statement"),
    [
        ("entities_from_known_objects", "UPDATE canonical.entities SET object_id = 1 WHERE canonical_id = 'crm_C2'"),
        ("entity_versions_are_gapless", "DELETE FROM canonical.entity_versions"),
        ("entity_versions_are_gapless", "UPDATE canonical.entity_versions SET version = 7"),
        ("objects_add_up", "UPDATE ingest.objects SET inserted = 7 WHERE key = 'crm-data/1'"),
        (
            "objects_do_not_wait",
            "INSERT INTO ingest.objects (object_id, bucket, key, version, versioned, size, discovered_by, discovered_at) "
            "VALUES (1, 'b', 'crm-data/x', 'v', true, 1, 'event', now() - interval '1 hour')",
        ),
        (
            "objects_have_a_source",
            "INSERT INTO ingest.objects (object_id, bucket, key, version, versioned, size, discovered_by, state) "
            "VALUES (1, 'b', 'nobody/x', 'v', true, 1, 'event', 'unroutable')",
        ),
        ("metrics_have_entities", "UPDATE canonical.time_series_data SET canonical_id = 'crm_X'"),
        (
            "relationships_have_ends",
            "UPDATE canonical.entity_relationships SET child_canonical_id = 'crm_X', created_at = now() - interval '2 days'",
        ),
        (
            "counts_do_not_drift",
            "INSERT INTO ingest.objects (object_id, bucket, key, version, versioned, size, discovered_by, source, dataset,"
            " state, records, inserted, finished_at) SELECT n, 'b', 'erp-data/old' || n, 'v', true, 1, 'event', 'erp',"
            " 'entities', 'loaded', 100, 100, now() - make_interval(days => n) FROM generate_series(2, 12) AS n",
        ),
    ],
)
def test_damage_is_found(check: str, statement: str, database: FreshDatabase, landing: Landing) -> None:
    load(database, landing)
    change(database, statement)
    assert check in found(database)


def test_many_offending_rows_are_counted_and_some_are_shown(database: FreshDatabase) -> None:
    change(
        database,
        "INSERT INTO ingest.objects (object_id, bucket, key, version, versioned, size, discovered_by, discovered_at) "
        "SELECT n, 'b', 'crm-data/' || n, 'v', true, 1, 'event', now() - interval '1 hour' "
        "FROM generate_series(1, 11500) AS n",
    )
    assert COUNTED < 11_500
    finding = run(database.loader, CHECKS["objects_do_not_wait"])
    assert (finding.count, len(finding.rows)) == (COUNTED, SHOWN)
    assert len(finding.columns) == len(finding.rows[0])


def test_a_blocking_check_stops_the_refresh(
    platform: Services, instance: dg.DagsterInstance, database: FreshDatabase, landing: Landing
) -> None:
    load(database, landing)
    change(database, "UPDATE canonical.entities SET object_id = 1 WHERE canonical_id = 'crm_C2'")
    refresh = definitions(platform).get_repository_def().get_job("daily_refresh")
    run = refresh.execute_in_process(instance=instance, raise_on_error=False)
    assert not run.success
    evaluations = {each.check_name: each for each in run.get_asset_check_evaluations()}
    assert set(CHECKS) <= set(evaluations)
    assert [name for name, each in evaluations.items() if not each.passed] == ["entities_from_known_objects"]
    assert "crm\\_C2" in str(evaluations["entities_from_known_objects"].metadata["first rows"].value)
    assert not run.asset_materializations_for_node(result_key("revenue_analysis").to_python_identifier())


def test_what_lies_in_the_bucket_unknown_to_the_ledger_is_found(
    platform: Services, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_checks, "GRACE", timedelta(seconds=-5))  # what was uploaded just now is late already
    check = table_checks.bucket_check

    def evaluated() -> dg.AssetCheckEvaluation:
        resources = {"platform": platform}
        run = dg.materialize(
            [check], instance=instance, resources=resources, selection=dg.AssetSelection.all_asset_checks()
        )
        [evaluation] = run.get_asset_check_evaluations()
        return evaluation

    for key in ("crm-data/known.json", "crm-data/late|.json", "crm-data/folder/"):
        platform.s3.put_object(Bucket=platform.settings.landing_bucket, Key=key, Body=b"[]" if key[-1] != "/" else b"")
    pages = list(discovery.list_pages(platform.s3, platform.settings.landing_bucket))
    with platform.loader.connect() as connection:
        ledger.discover(connection, [each for each in pages[0].seen if each.key == "crm-data/known.json"])
    found = evaluated()
    assert not found.passed
    assert (found.metadata["offending rows"].value, found.metadata["objects listed"].value) == (1, 2)
    assert "crm-data/late\\|.json" in str(found.metadata["first rows"].value)

    monkeypatch.setattr(table_checks, "GRACE", timedelta(hours=1))
    assert evaluated().passed
