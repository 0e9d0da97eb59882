"""Records that send only what changed: what a field keeps, what empties it, and what a deletion ends."""

import dataclasses
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline_project.datasets.entities import ENTITIES
from pipeline_project.ingest import ledger
from pipeline_project.ingest.inspection import explain, previews
from pipeline_project.ingest.ledger import ObjectSeen
from pipeline_project.ingest.loading import prune_patches
from pipeline_project.ingest.rejects import Selection, replay
from pipeline_project.schema.fields import Amount, Time, aliased
from pipeline_project.schema.sql_files import SQL
from pipeline_project.sources.crm import SOURCE as CRM
from pipeline_project.sources.crm import CrmCustomer
from pipeline_project.sources.source import Source
from pipeline_project_tests.fix_ingest import Rows, register
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import BEGINNING, Landing, ingest

PARTIAL = dataclasses.replace(CRM, partial=("entities",), reject_threshold=0.9)
WHOLE = dataclasses.replace(PARTIAL, partial=())
NOW = "SELECT deleted, name, status, revenue, attributes FROM canonical.entities WHERE canonical_id = 'crm_1'"
HISTORY = """
    SELECT version, deleted, name, status FROM canonical.entity_versions
    UNION ALL SELECT version, deleted, name, status FROM canonical.entities ORDER BY 1"""


class Mended(CrmCustomer):
    """A mapping that takes the revenue from another field."""

    revenue: Amount | None = aliased("turnover")


class Feed:
    """A partial source that uploads one file after another."""

    def __init__(self, database: FreshDatabase) -> None:
        self._database = database
        self.landing = Landing()

    def send(self, *records: dict[str, Any], second: int | None = None) -> ObjectSeen:
        return self.upload(list(records), second=second)

    def replay(self, seen: ObjectSeen) -> None:
        with self._database.loader.connect(autocommit=True) as connection:
            ledger.replay(connection, [seen.object_id])
        ingest(self._database.loader, self.landing, seen)

    def upload(self, content: Any, second: int | None = None) -> ObjectSeen:
        seen = self.landing.put("crm-data/changes", content, second=second)
        ingest(self._database.loader, self.landing, seen)
        return seen


@pytest.fixture
def feed(database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> Feed:
    register(monkeypatch, PARTIAL)
    return Feed(database)


def test_a_field_that_is_not_sent_keeps_its_value_and_a_null_empties_it(feed: Feed, rows: Rows) -> None:
    feed.send({"id": 1, "name": "A", "status": "new", "revenue": 5, "phone": "1", "fax": "2"})
    feed.send({"id": 1, "status": "active", "phone": "3"})
    assert rows(NOW) == [(False, "A", "active", 5, {"phone": "3", "fax": "2"})]
    feed.send({"id": 1, "status": None, "revenue": "", "fax": None})
    assert rows(NOW) == [(False, "A", None, None, {"phone": "3"})]


def test_an_empty_cell_of_a_table_is_not_sent(feed: Feed, rows: Rows) -> None:
    feed.upload(b"id,name,status,phone\n1,A,new,1\n")
    feed.upload(b"id,name,status,phone\n1,,active,\n")
    assert rows(NOW) == [(False, "A", "active", None, {"phone": "1"})]


def test_a_null_text_in_a_table_empties_the_field(feed: Feed, rows: Rows) -> None:
    feed.upload(b"id,name,Annual Revenue,phone\n1,A,5,1\n")
    feed.upload(b"id,name,Annual Revenue,phone\n1,,NULL,\\N\n")
    assert rows(NOW) == [(False, "A", None, None, {})]


def test_a_value_that_cannot_be_read_leaves_the_earlier_value(feed: Feed, rows: Rows) -> None:
    feed.send({"id": 1, "name": "A", "Annual Revenue": 5, "first_order_date": "2024-01-31"})
    feed.send({"id": 1, "Annual Revenue": "much", "first_order_date": "31 January", "status": "active"})
    assert rows(NOW) == [(False, "A", "active", 5, {"first_order_date": "2024-01-31"})]
    assert rows("SELECT kind, status FROM ingest.rejects") == [("field", "open")]


def test_a_record_can_come_before_the_record_that_completes_it(feed: Feed, rows: Rows) -> None:
    seen = feed.send({"id": 1, "status": "active"}, {"id": 2, "status": "new"}, second=10)
    assert rows("SELECT canonical_id FROM canonical.entities") == []
    assert rows(f"SELECT state, unchanged FROM ingest.objects WHERE object_id = {seen.object_id}") == [("loaded", 2)]
    feed.send({"id": 1, "name": "A", "status": "new"}, second=5)
    assert rows(HISTORY) == [(1, False, "A", "new"), (2, False, "A", "active")]


def test_all_records_of_one_file_count(feed: Feed, rows: Rows) -> None:
    """With times of their own, each is a version."""
    days = [f"2024-01-0{day}T00:00:00Z" for day in (1, 2, 3)]
    feed.send(
        {"id": 1, "name": "A", "updated_at": days[0]},
        {"id": 1, "status": "new", "updated_at": days[1]},
        {"id": 1, "status": "active", "updated_at": days[2]},
        {"id": 1, "revenue": 7, "updated_at": days[2]},
    )
    assert rows(HISTORY) == [(1, False, "A", None), (2, False, "A", "new"), (3, False, "A", "active")]
    assert rows(NOW) == [(False, "A", "active", 7, {})]


def test_a_deletion_keeps_what_the_entity_was_and_nothing_outlives_it(feed: Feed, rows: Rows) -> None:
    feed.send({"id": 1, "name": "A", "status": "active"})
    feed.send({"id": 1, "_deleted": True})
    feed.send({"id": 1, "revenue": 9})
    assert rows(NOW) == [(True, "A", "active", None, {})]
    feed.send({"id": 1, "name": "B"})
    assert rows(NOW) == [(False, "B", None, 9, {})]


def test_a_deletion_is_not_lost_if_its_file_goes_on(feed: Feed, rows: Rows) -> None:
    feed.send({"id": 1, "name": "A", "status": "active"})
    feed.send({"id": 1, "_deleted": True}, {"id": 1, "revenue": 9})
    assert rows(NOW) == [(True, "A", "active", None, {})]


def test_a_record_that_empties_the_name_is_rejected_with_the_remedy(feed: Feed, rows: Rows) -> None:
    feed.send({"id": 1, "name": "A"}, {"id": 2, "name": "B"})
    feed.send({"id": 1, "company_name": None, "status": "active"}, {"id": 2, "status": "active"})
    ((key, status, errors),) = rows("SELECT record_key, status, errors FROM ingest.rejects")
    assert (key, status, errors[0]["field"], errors[0]["rule"]) == ("crm_1", "open", "company_name", "missing")
    assert errors[0]["message"].endswith("Leave out the field to keep its value")
    assert rows(NOW) == [(False, "A", None, None, {})]


def test_a_later_record_does_not_supersede_a_reject(
    feed: Feed, rows: Rows, database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not send the same fields. The replayed reject takes its own place."""
    feed.send({"id": 1, "name": "A"})
    feed.send({"id": 1, "annual_revenue": "x", "status": "active"}, {"id": 2, "name": "B"})
    feed.send({"id": 1, "status": "new"})
    assert rows("SELECT status FROM ingest.rejects") == [("open",)]

    register(monkeypatch, dataclasses.replace(PARTIAL, records=(Mended,)))
    with database.loader.connect(autocommit=True) as connection:
        assert replay(connection, Selection(source="crm")).resolved == 1
    assert rows(NOW) == [(False, "A", "new", None, {"annual_revenue": "x"})]


def test_a_late_record_changes_the_current_state_and_the_data_version(feed: Feed, rows: Rows) -> None:
    version = "SELECT version FROM ingest.data_versions"
    feed.send({"id": 1, "name": "A"}, second=0)
    feed.send({"id": 1, "status": "active"}, second=20)
    assert rows(version) == [(2,)]
    seen = feed.send({"id": 1, "revenue": 3}, second=10)
    assert rows(NOW) == [(False, "A", "active", 3, {})]
    assert rows(version) == [(3,)]
    assert rows(f"SELECT updated FROM ingest.objects WHERE object_id = {seen.object_id}") == [(1,)]


class Timeless(CrmCustomer):
    """A mapping that reads no time of a record."""

    updated_at: Time | None = aliased("touched")


def test_a_replay_moves_a_record_that_has_another_time_now(
    feed: Feed, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.send({"id": 1, "name": "A", "updated_at": "2024-01-01T00:00:00Z"})
    moved = feed.send({"id": 1, "status": "new", "updated_at": "2024-01-03T00:00:00Z"})
    feed.send({"id": 1, "status": "active", "updated_at": "2024-01-05T00:00:00Z"})
    assert [row[3] for row in rows(HISTORY)] == [None, "new", "active"]
    register(monkeypatch, dataclasses.replace(PARTIAL, records=(Timeless,)))
    feed.replay(moved)
    assert [row[3] for row in rows(HISTORY)] == [None, "active", "new"]


def test_only_patches_between_a_first_and_a_last_are_pruned(feed: Feed, rows: Rows, database: FreshDatabase) -> None:
    feed.send({"id": 1, "name": "A", "phone": "1"}, second=0)
    for second, status in [(10, "x"), (20, "x"), (40, "x"), (50, "y"), (60, "y"), (70, "y")]:
        feed.send({"id": 1, "status": status}, second=second)
    with database.loader.connect(autocommit=True) as connection:
        assert prune_patches(connection, BEGINNING + timedelta(seconds=55)) == 1
        assert prune_patches(connection, BEGINNING + timedelta(seconds=100)) == 1
        assert prune_patches(connection, BEGINNING + timedelta(seconds=100)) == 0
    times = "SELECT extract(second FROM object_modified_at)::integer FROM ingest.patches ORDER BY 1"
    assert [second for (second,) in rows(times)] == [0, 10, 10, 40, 50]
    feed.send({"id": 1, "status": "late"}, second=30)
    assert [row[3] for row in rows(HISTORY)] == [None, "x", "late", "x", "y"]


def test_a_source_that_is_not_partial_any_more_keeps_its_versions(
    feed: Feed, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.send({"id": 1, "name": "A", "status": "new"}, second=0)
    feed.send({"id": 1, "status": "active"}, second=10)
    feed.send({"id": 1, "status": "active"}, second=30)
    before = rows(HISTORY)
    register(monkeypatch, WHOLE)
    feed.send({"id": 2, "name": "B"}, second=40)
    assert rows("SELECT count(*) FROM ingest.patches") == [(0,)]
    assert rows(HISTORY.replace("entities ORDER", "entities WHERE canonical_id = 'crm_1' ORDER")) == before
    # A whole row between two records with the same status: the later record still counts.
    feed.send({"id": 1, "name": "A", "status": "late"}, second=20)
    assert [
        row[3] for row in rows(HISTORY.replace("entities ORDER", "entities WHERE canonical_id = 'crm_1' ORDER"))
    ] == [*("new", "active", "late", "active")]


def test_each_value_is_explained_by_the_record_that_sent_it(feed: Feed, database: FreshDatabase) -> None:
    first = feed.send({"id": 1, "name": "A", "status": "new"}, {"id": 1, "phone": "1"}, second=0)
    second = feed.send(
        {"id": 1, "status": "active"}, {"id": 1, "name": "A", "fax": None}, {"id": 2, "fax": "2"}, second=5
    )
    with database.loader.connect() as connection:
        found = explain(connection, ENTITIES, "crm_1")
        waiting = explain(connection, ENTITIES, "crm_2")
    set_by = {value.field: (value.value, value.set_by.object_id, value.set_by.ordinal) for value in found.values}
    assert set_by == {
        "entity_type": ("customer", first.object_id, 1),
        "name": ("A", first.object_id, 1),
        "phone": ("1", first.object_id, 2),
        "status": ("active", second.object_id, 1),
        "fax": (None, second.object_id, 2),
    }
    assert [patch.sent for patch in found.patches][2:] == [{"status": "active"}, {"name": "A", "fax": None}]
    assert (waiting.states, waiting.values, [patch.sent for patch in waiting.patches]) == ([], [], [{"fax": "2"}])


@pytest.mark.parametrize("source", [PARTIAL, WHOLE], ids=["partial", "whole"])
def test_a_preview_shows_which_fields_would_become_empty(
    feed: Feed, database: FreshDatabase, monkeypatch: pytest.MonkeyPatch, source: Source, tmp_path: Path
) -> None:
    feed.send({"id": 1, "name": "A", "status": "new", "revenue": 5}, {"id": 2, "name": "B", "revenue": 6})
    register(monkeypatch, source)
    monkeypatch.setattr(previews, "sources", lambda: {"crm": source})
    file = tmp_path / "changes.json"
    file.write_text(json.dumps([{"id": 1, "name": "A", "status": "active"}, {"id": 2, "name": "C"}]))
    with database.loader.connect(autocommit=True) as connection:
        found = previews.preview(connection, file, "crm-data/changes.json")
    assert found.changed["name"] == 1
    assert found.emptied == ({} if source.partial else {"revenue": 2})
    assert found.partial == bool(source.partial)
    assert found.columns is not None
    assert found.columns.shape.get("records") == ("partial" if source.partial else None)


def test_a_source_with_whole_records_never_looks_for_patches(
    feed: Feed, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a new mapping version does: the source may have been partial before."""
    register(monkeypatch, WHOLE)
    feed.send({"id": 1, "name": "A"})
    executed: list[bytes] = []
    execute = psycopg.Cursor.execute

    def spied(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        executed.append(query if isinstance(query, bytes) else b"")
        return execute(self, query, *arguments, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", spied)
    feed.send({"id": 1, "name": "B"}, {"id": 2, "name": "C"}, second=9)
    feed.send({"id": 1, "name": "late"}, second=5)
    assert len(rows(HISTORY)) == 4
    assert any(b"entity_versions" in each for each in executed)
    assert not any(b"ingest.patches" in each for each in executed)


def test_a_check_names_the_records_that_wait_for_the_rest(feed: Feed, rows: Rows) -> None:
    feed.send({"id": 1, "status": "active"}, {"id": 2, "name": "B"}, second=0)
    check = (SQL / "checks" / "records_wait_for_the_rest.sql").read_text("utf-8")
    assert rows(check) == [("crm_1", "crm", 1, BEGINNING)]
