"""Promises of docs/explanation/ingestion-semantics.md that no other test module proves. That page lists all tests."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from pipeline_project.datasets.entities import ENTITIES
from pipeline_project.ingest.inspection.explanations import explain
from pipeline_project.ingest.ledger import replays as replay
from pipeline_project.ingest.ledger.objects import ObjectSeen
from pipeline_project.ingest.ledger.replays import Objects
from pipeline_project.ingest.loading import worker
from pipeline_project.ingest.mapping import rows as loadable
from pipeline_project.ingest.mapping.mapper import Mapper
from pipeline_project.sources.erp import SOURCE as ERP
from pipeline_project.sources.legacy import SOURCE as LEGACY
from pipeline_project_tests.fix_ingest import Rows, register
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import SETTINGS, Landing, discover, ingest

# --- Identity


def test_the_same_key_with_new_content_is_a_new_object(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    first = landing.put("legacy-data/a", [{"id": 1, "name": "A"}])
    second = landing.put("legacy-data/a", [{"id": 1, "name": "B"}])
    assert first.object_id != second.object_id
    ingest(database.loader, landing, second, first)
    assert rows("SELECT name, version FROM canonical.entities") == [("B", 2)]
    assert rows("SELECT count(DISTINCT version), count(*) FROM ingest.objects WHERE key = 'legacy-data/a'") == [(2, 2)]


def test_an_object_is_bucket_key_and_version_or_etag() -> None:
    seen = ObjectSeen(bucket="b", key="k", version_id="v", etag="e", size=1, discovered_by="event")
    assert (
        seen.object_id == dataclasses.replace(seen, etag="x", size=9, discovered_by="listing", sequencer="s").object_id
    )
    assert seen.object_id != dataclasses.replace(seen, version_id="w").object_id
    for none in (None, "null"):  # a bucket without versions, and what was there before they began
        unversioned = dataclasses.replace(seen, version_id=none)
        assert (unversioned.version, unversioned.versioned) == ("e", False)
        assert unversioned.object_id == dataclasses.replace(unversioned, size=9).object_id
        assert unversioned.object_id != dataclasses.replace(unversioned, etag="f").object_id
    assert 0 <= seen.object_id < 2**63


def test_the_ledger_tells_all_about_an_object(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    ingest(database.loader, landing, landing.put("legacy-data/0", [{"id": 1, "name": "A"}, {"id": 2, "name": "A"}]))
    content = [
        {"id": 1, "name": "A"},
        {"id": 2, "name": "B"},
        {"id": 3, "name": "C"},
        {"id": 4, "_deleted": True},
        {"id": 5},
        {"id": 1, "name": "old", "updated_at": "2020-01-01"},
    ]
    seen = landing.put("legacy-data/entities/a", content)
    ingest(database.loader, landing, seen)
    assert rows("""
        SELECT source, dataset, discovered_by, state, attempts, format, records, inserted, updated, unchanged, stale, rejected,
               deleted, sequencer IS NOT NULL, size, last_modified IS NOT NULL, error_code,
               started_at <= finished_at, discovered_at <= started_at
        FROM ingest.objects WHERE key = 'legacy-data/entities/a'""") == [
        (
            *("legacy", "entities", "event", "loaded_with_rejects", 1, "array"),
            *(6, 2, 1, 1, 1, 1, 1, True, seen.size, True, None, True, True),
        )
    ]


# --- Exactly once


def test_re_delivery_is_a_no_op(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    seen = landing.put("legacy-data/a", [{"id": 1, "name": "A"}])
    ingest(database.loader, landing, seen)
    before = rows("SELECT xmin, * FROM canonical.entities"), rows("SELECT xmin, * FROM ingest.objects")
    assert ingest(database.loader, landing, seen, seen) == {}
    assert list(worker.Worker(database.loader, landing, SETTINGS).ingest([seen.object_id])) == []
    assert (rows("SELECT xmin, * FROM canonical.entities"), rows("SELECT xmin, * FROM ingest.objects")) == before
    assert landing.gets == 1


# --- Routing


def test_an_unknown_prefix_is_visible_and_loads_once_its_source_is_registered(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        ingest(
            database.loader,
            landing,
            landing.put("kiosk-data/metrics/a", [{"id": 1, "type": "t", "date": "2025-01-01", "value": 1}]),
        )
        == {}
    )
    assert rows("SELECT state, source, dataset FROM ingest.objects") == [("unroutable", None, None)]
    register(monkeypatch, dataclasses.replace(LEGACY, name="kiosk"))
    with database.loader.connect() as connection:
        assert len(replay.requeue(connection, Objects(key_prefix="kiosk-data/"))) == 1
    assert ingest(database.loader, landing)["kiosk-data/metrics/a"].state == "loaded"
    assert rows("SELECT canonical_id FROM canonical.time_series_data") == [("kiosk_1",)]


# --- Every field is kept


def test_every_field_is_kept_and_money_is_exact(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    content = (
        b'[{"id": 1, "name": "A", "revenue": 0.1, "total_spent": 123456789012345.67,'
        b' "x": {"y": [1.10, null]}, "z": "\\u00fc"}]'
    )
    ingest(database.loader, landing, landing.put("legacy-data/a", content))
    assert rows("SELECT revenue::text, total_spent::text, attributes::text FROM canonical.entities") == [
        ("0.1", "123456789012345.67", '{"x": {"y": [1.10, null]}, "z": "ü"}')
    ]
    assert rows(
        "SELECT metadata ?& '{object_id,ordinal,source_id,mapping_version,quality_score}' FROM analytics.entities"
    ) == [(True,)]


# --- Convergence


def test_a_stale_row_cannot_resurrect_a_deleted_entity(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    old = landing.put("legacy-data/1", [{"id": 1, "name": "A"}])
    ingest(
        database.loader,
        landing,
        landing.put("legacy-data/2", [{"id": 1, "_deleted": True}, {"id": 2, "status": "deleted"}]),
    )
    ingest(database.loader, landing, old)
    assert rows("SELECT canonical_id, deleted FROM canonical.entities ORDER BY 1") == [
        ("legacy_1", True),
        ("legacy_2", True),
    ]
    assert rows("SELECT count(*) FROM analytics.entities") == [(0,)]
    ingest(database.loader, landing, landing.put("legacy-data/3", [{"id": 1, "name": "A again"}]))
    assert rows("SELECT name, deleted, version FROM canonical.entities WHERE canonical_id = 'legacy_1'") == [
        ("A again", False, 3)
    ]


def test_unchanged_rows_cost_no_version_and_no_bloat(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    content = [{"id": number, "name": "A"} for number in range(50)]
    ingest(database.loader, landing, landing.put("legacy-data/1", content))
    before = rows("SELECT ctid, xmin, * FROM canonical.entities ORDER BY entity_id")
    version = rows("SELECT data_version FROM analytics.data_version")
    # As it was, and written otherwise.
    again = [{"name": "A", "id": str(each["id"]), "revenue": None} for each in content]
    assert ingest(database.loader, landing, landing.put("legacy-data/2", content))["legacy-data/2"].unchanged == 50
    assert ingest(database.loader, landing, landing.put("legacy-data/3", again))["legacy-data/3"].unchanged == 50
    assert rows("SELECT ctid, xmin, * FROM canonical.entities ORDER BY entity_id") == before
    assert rows("SELECT count(*) FROM canonical.entity_versions") == [(0,)]
    assert rows("SELECT data_version FROM analytics.data_version") == version


def test_a_late_row_leaves_most_confirmations_as_they_are(
    database: FreshDatabase, landing: Landing, rows: Rows
) -> None:
    """Of thousands that confirmed its entity, only the first one after it says something new: that it was so again."""
    content = [{"id": number, "name": "A"} for number in (1, 2)]
    exports = [landing.put(f"legacy-data/{second}", content, second=second) for second in range(0, 20, 2)]
    for seen in exports:
        ingest(database.loader, landing, seen)
    blocks = "SELECT object_id, xmin::text, ctid::text FROM canonical.entity_confirmation_blocks"
    before = rows(blocks)
    late = landing.put("legacy-data/late", [{"id": 1, "name": "B"}], second=9)
    ingest(database.loader, landing, late)
    assert {object_id for object_id, *_ in {*before} ^ {*rows(blocks)}} == {exports[5].object_id}
    assert rows("SELECT name, object_id FROM canonical.entity_versions ORDER BY version") == [
        ("A", exports[0].object_id),
        ("B", late.object_id),
    ]
    assert rows("SELECT name, version, object_id FROM canonical.entities WHERE canonical_id = 'legacy_1'") == [
        ("A", 3, exports[5].object_id)
    ]
    assert rows("SELECT count(*) FROM canonical.entity_confirmations") == [(17,)]


def test_of_two_rows_in_one_file_the_newer_counts_and_of_equals_the_later(
    database: FreshDatabase, landing: Landing, rows: Rows
) -> None:
    day = "2024-12-{:02}T00:00:00Z"
    content = [
        {"id": 1, "name": "newer", "updated_at": day.format(2)},
        {"id": 1, "name": "older", "updated_at": day.format(1)},
        {"id": 2, "name": "first"},
        {"id": 2, "name": "last"},
    ]
    ingest(database.loader, landing, landing.put("legacy-data/1", content))
    assert rows("SELECT name, version FROM canonical.entities ORDER BY canonical_id") == [("newer", 1), ("last", 1)]


def test_a_row_of_an_earlier_chunk_counts_against_one_of_a_later(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second piece is probed before the first is merged."""
    monkeypatch.setattr("pipeline_project.ingest.decoding.limits.CHUNK_RECORDS", 2)
    monkeypatch.setattr("pipeline_project.ingest.loading.microbatches.MICRO_BATCH_RECORDS", 2)
    monkeypatch.setattr(worker, "SMALL", 0)
    known = [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}, {"id": 3, "name": "C"}]
    ingest(database.loader, landing, landing.put("legacy-data/1", known))
    ingest(
        database.loader, landing, landing.put("legacy-data/2", [{"id": 1, "name": "X"}, known[1], known[0], known[2]])
    )
    assert rows("SELECT name, version FROM canonical.entities ORDER BY canonical_id") == [("A", 1), ("B", 1), ("C", 1)]
    assert rows("SELECT ordinal FROM canonical.entity_confirmations ORDER BY 1") == [(2,), (3,), (4,)]


# --- History


def test_history_has_no_gaps_and_its_states_their_times(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    days = [f"2024-0{month}-01T00:00:00+00:00" for month in (1, 2, 3)]
    objects = [landing.put(f"legacy-data/{day}", [{"id": 1, "name": day, "updated_at": day}]) for day in days]
    for seen in (objects[0], objects[2], objects[1]):
        ingest(database.loader, landing, seen)
    assert rows(
        "SELECT version, name, valid_from::date::text, valid_to::date::text FROM analytics.entity_versions ORDER BY 1"
    ) == [
        (1, days[0], "2024-01-01", "2024-02-01"),
        (2, days[1], "2024-02-01", "2024-03-01"),
    ]
    assert rows("SELECT version, name FROM analytics.entities") == [(3, days[2])]


def test_every_value_can_be_explained(database: FreshDatabase, landing: Landing) -> None:
    ingest(
        database.loader, landing, landing.put("legacy-data/1", [{"id": 0, "name": "Z"}, {"id": 1, "name": "A", "x": 1}])
    )
    ingest(database.loader, landing, landing.put("legacy-data/2", [{"id": 1, "name": "B", "x": 1}]))
    with database.loader.connect() as connection:
        values = {value.field: value for value in explain(connection, ENTITIES, "legacy_1").values}
    name = values["name"]
    assert (name.value, name.set_by.key, name.set_by.ordinal, name.set_by.mapping_version) == (
        "B",
        "legacy-data/2",
        1,
        1,
    )
    assert [(value, state.key, state.ordinal) for value, state in name.lost] == [("A", "legacy-data/1", 2)]
    assert (values["x"].set_by.key, values["x"].lost) == ("legacy-data/1", [])


# --- Relationships and metrics


def test_a_relationship_waits_for_its_ends(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    content = [
        {
            "parent_id": 1,
            "child_id": 2,
            "type": "owns",
            "share": 0.5,
            "valid_from": "2024-01-01",
            "valid_to": "2025-01-01",
        },
        {"parent_id": 1, "child_canonical_id": "crm_9", "type": "same_as"},
    ]
    ingest(database.loader, landing, landing.put("legacy-data/relationships/r", content))
    resolved = "SELECT parent_canonical_id, child_canonical_id, relationship_type FROM analytics.entity_relationships ORDER BY 2"
    assert rows(resolved) == []
    ingest(database.loader, landing, landing.put("legacy-data/a", [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}]))
    assert rows(resolved) == [("legacy_1", "legacy_2", "owns")]
    ingest(database.loader, landing, landing.put("crm-data/a", [{"id": 9, "name": "C"}]))
    assert rows(resolved) == [("legacy_1", "crm_9", "same_as"), ("legacy_1", "legacy_2", "owns")]
    ingest(database.loader, landing, landing.put("crm-data/b", [{"id": 9, "_deleted": True}]))
    assert rows(resolved) == [("legacy_1", "legacy_2", "owns")]
    ingest(database.loader, landing, landing.put("legacy-data/relationships/s", [{**content[0], "_deleted": True}]))
    assert rows(resolved) == []


def test_metrics_make_their_months_themselves(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    days = ["1900-01-01", "2024-02-29", "2025-01-31", "2200-12-31"]
    content = [
        {"id": 1, "type": "revenue", "date": day, "value": 1.5, "quality": 0.9, "tags": ["a"], "x": 1} for day in days
    ]
    assert (
        ingest(database.loader, landing, landing.put("legacy-data/metrics/m", content))[
            "legacy-data/metrics/m"
        ].inserted
        == 4
    )
    assert rows(
        "SELECT metric_date::text, value, quality::text, tags::text FROM analytics.time_series_data ORDER BY 1"
    ) == [(day, msgspec.json.decode(b"1.5"), "0.9", '{"x": 1, "tags": ["a"]}') for day in days]
    assert rows("SELECT count(DISTINCT tableoid) FROM canonical.time_series_data") == [(4,)]


def test_an_unknown_mapping_is_not_needed_for_known_rows(
    database: FreshDatabase, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A re-sent record that did not change is not even mapped."""
    content = [{"id": number, "name": "A"} for number in range(20)]
    ingest(database.loader, landing, landing.put("legacy-data/1", content))
    again = landing.put("legacy-data/2", content)

    map_nothing(monkeypatch)
    assert ingest(database.loader, landing, again)["legacy-data/2"].unchanged == 20


def test_known_rows_count_in_control_totals_without_being_mapped(
    database: FreshDatabase, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(total: str) -> bytes:
        records = ",".join(
            f'{{"businessId": {number}, "businessName": "A", "financials": {{"annualRevenue": {number}.10}}}}'
            for number in range(20)
        )
        return f'{{"records": [{records}], "summary": {{"totalRevenue": {total}}}}}'.encode()

    outcome = ingest(database.loader, landing, landing.put("erp-data/1", export("192.00")))["erp-data/1"]
    assert (outcome.state, outcome.inserted) == ("loaded", 20)
    map_nothing(monkeypatch)
    outcome = ingest(database.loader, landing, landing.put("erp-data/2", export("192")))["erp-data/2"]
    assert (outcome.state, outcome.unchanged) == ("loaded", 20)
    outcome = ingest(database.loader, landing, landing.put("erp-data/3", export("192.01")))["erp-data/3"]
    assert outcome.fault is not None
    assert outcome.fault.code == "total_mismatch"


def test_several_totals_are_exact_also_of_known_rows(
    database: FreshDatabase, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, dataclasses.replace(ERP, totals={"totalRevenue": "revenue", "totalEmployees": "employees"}))
    records = (
        '{"id": 1, "name": "A", "revenue": 1e3, "employees": 5}, {"id": 2, "name": "B", "revenue": 7, "employees": 6},'
        '{"id": 3, "name": "C", "revenue": 0.30000000000000004}, {"id": 4, "name": "D", "revenue": 123456789012.5}'
    )
    totals = '{"totalRevenue": 123456790019.80000000000000004, "totalEmployees": 11}'
    for key in ("erp-data/1", "erp-data/2"):
        seen = landing.put(key, f'{{"records": [{records}], "summary": {totals}}}'.encode())
        assert ingest(database.loader, landing, seen)[key].fault is None


def test_keys_with_tabs_are_keys_of_their_own(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    metric = {"date": "2025-01-01", "value": 1}
    metrics = [{"id": "a", "type": "b\tc", **metric}, {"id": "a\tb", "type": "c", **metric}]
    edges = [{"parent_id": "x", "child_id": "y\tlegacy_z"}, {"parent_id": "x\tlegacy_y", "child_id": "z"}]
    ingest(
        database.loader,
        landing,
        landing.put("legacy-data/metrics/1", metrics),
        landing.put("legacy-data/relationships/1", [{**edge, "type": "t"} for edge in edges]),
    )
    assert rows("SELECT count(*) FROM canonical.time_series_data") == [(2,)]
    assert rows("SELECT count(*) FROM canonical.entity_relationships") == [(2,)]


def map_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def map_all(_: Any, __: Any, places: Sequence[int], ___: Any) -> loadable.Mapped:
        assert not places
        return loadable.Mapped(loadable.Rows(), [], loadable.ColumnCounts())

    monkeypatch.setattr(Mapper, "map_all", map_all)


def test_each_load_raises_the_data_version_with_its_data(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    version = "SELECT data_version FROM analytics.data_version"
    assert rows(version) == [(0,)]
    ingest(database.loader, landing, landing.put("legacy-data/1", [{"id": 1, "name": "A"}]))
    ((first,),) = rows(version)
    ingest(database.loader, landing, landing.put("legacy-data/2", b"[truncated"))
    assert rows(version) == [(first,)]
    ingest(
        database.loader,
        landing,
        landing.put("legacy-data/metrics/3", [{"id": 1, "type": "t", "date": "2025-01-01", "value": 1}]),
    )
    assert rows(version) > [(first,)]


def test_objects_wait_oldest_first(database: FreshDatabase, landing: Landing) -> None:
    first = landing.put("legacy-data/z", [{"id": 1, "name": "A"}])
    discover(database.loader, [first])
    waiting = discover(database.loader, [landing.put("legacy-data/a", [{"id": 1, "name": "B"}])])
    assert waiting[0] == first.object_id


def test_the_ledger_is_kept_for_ever(database: FreshDatabase, rows: Rows) -> None:
    """Whoever loads, reads or asks has no right to remove a line of it."""
    assert database.loader
    assert rows("""
        SELECT role, bool_or(has_table_privilege(role, 'ingest.objects', what))
        FROM unnest('{pipeline_loader,pipeline_reader}'::text[]) role, unnest('{DELETE,TRUNCATE}'::text[]) what
        GROUP BY role ORDER BY role""") == [("pipeline_loader", False), ("pipeline_reader", False)]


def test_a_row_wins_by_its_own_time_then_by_that_of_its_object(
    database: FreshDatabase, landing: Landing, rows: Rows
) -> None:
    """Whatever the order of arrival."""
    sent = [
        landing.put("legacy-data/own time", [{"id": 1, "name": "newest", "updated_at": "2024-03-01"}], second=1),
        landing.put("legacy-data/upload", [{"id": 1, "name": "later upload", "updated_at": "2024-02-01"}], second=9),
        landing.put("legacy-data/tie", [{"id": 1, "name": "earlier upload", "updated_at": "2024-02-01"}], second=5),
    ]
    for seen in sent:
        ingest(database.loader, landing, seen)
    assert rows("SELECT name FROM canonical.entity_versions ORDER BY version") == [
        ("earlier upload",),
        ("later upload",),
    ]
    assert rows("SELECT name, version FROM canonical.entities") == [("newest", 3)]
