"""Rejects as a lifecycle, replays, explanations and previews, on a real database."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline_project.datasets.entities import ENTITIES, Entity
from pipeline_project.errors import Permanent
from pipeline_project.ingest.inspection.explanations import explain
from pipeline_project.ingest.inspection.previews import preview
from pipeline_project.ingest.ledger.replays import Objects, requeue
from pipeline_project.ingest.rejects import rejected_rows as quarantine
from pipeline_project.ingest.rejects.rejected_rows import Selection
from pipeline_project.schema.fields import aliased
from pipeline_project.sources import registry
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import Landing, ingest

ROWS = b"""{"id": 1, "name": "A"}
{"id": 2, "title": "B"}
{"id": 3, "heading": "C", "revenue": -1}
{"id": 4, "name": "D"}
"""


def one(database: FreshDatabase, statement: str) -> tuple[Any, ...]:
    with database.owner.connect() as connection:
        row = connection.execute(statement.encode()).fetchone()
        assert row is not None
        return row


def rejects(database: FreshDatabase) -> list[tuple[int, str]]:
    with database.owner.connect() as connection:
        return connection.execute("SELECT ordinal, status FROM ingest.rejects ORDER BY ordinal").fetchall()


@pytest.fixture
def mended_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """The legacy application calls a name a title, too."""

    class Mended(Entity):
        name: Any = aliased("name", "title")

    legacy = registry.sources()["legacy"]
    mended = {**registry.sources(), "legacy": replace(legacy, records=(Mended,))}
    for module in ("ingest.rejects.rejected_rows", "ingest.loading.worker", "sources.registry"):
        monkeypatch.setattr(f"pipeline_project.{module}.sources", lambda: mended)


def test_replaying_rejects_after_a_mended_mapping_loads_just_those_rows(
    database: FreshDatabase, request: pytest.FixtureRequest
) -> None:
    landing = Landing()
    ingest(database.loader, landing, landing.put("legacy-data/a", ROWS))
    assert rejects(database) == [(2, "open"), (3, "open")]
    request.getfixturevalue("mended_mapping")
    gets = landing.gets
    with database.loader.connect(autocommit=True) as connection:
        result = quarantine.replay(connection, Selection(source="legacy"))
    assert (result.resolved, result.still_bad, result.not_tried) == (1, 1, 0)
    assert landing.gets == gets
    assert rejects(database) == [(2, "resolved"), (3, "open")]
    assert one(
        database, "SELECT name, ordinal, mapping_version FROM canonical.entities WHERE canonical_id = 'legacy_2'"
    ) == (
        "B",
        2,
        2,
    )
    assert one(database, "SELECT mapping_version FROM canonical.entities WHERE canonical_id = 'legacy_1'") == (1,)
    assert one(database, "SELECT state, records, inserted, rejected FROM ingest.objects") == (
        "loaded_with_rejects",
        4,
        3,
        1,
    )


def test_discarded_rejects_stay_and_are_not_replayed(database: FreshDatabase) -> None:
    landing = Landing()
    ingest(database.loader, landing, landing.put("legacy-data/a", ROWS))
    with database.loader.connect(autocommit=True) as connection:
        assert quarantine.discard(connection, Selection(key_prefix="legacy-data/")) == 2
        assert quarantine.replay(connection, Selection(source="legacy")).resolved == 0
        listed = quarantine.listed(connection, source=None, key_prefix=None, status="discarded", limit=10)
        shown = quarantine.shown(connection, listed[0].reject_id)
        assert shown.raw == b'{"id": 3, "heading": "C", "revenue": -1}'
        with pytest.raises(Permanent, match="no reject 999"):
            quarantine.shown(connection, 999)
    assert rejects(database) == [(2, "discarded"), (3, "discarded")]


def test_replaying_an_object_changes_nothing_that_is_there(database: FreshDatabase) -> None:
    landing = Landing()
    ingest(
        database.loader,
        landing,
        landing.put("legacy-data/a", ROWS),
        landing.put("crm-data/b", [{"id": 1, "name": "X"}]),
    )
    state = (
        "SELECT sum(version), count(*), (SELECT count(*) FROM canonical.entity_confirmations) FROM canonical.entities"
    )
    before = one(database, state)
    with database.loader.connect() as connection:
        waiting = requeue(connection, Objects(key_prefix="legacy-data/"))
    assert len(waiting) == 1
    outcome = ingest(database.loader, landing)["legacy-data/a"]
    assert (outcome.unchanged, outcome.rejected, outcome.inserted) == (2, 2, 0)
    assert one(database, state) == before
    assert rejects(database) == [(2, "open"), (3, "open")]


@pytest.mark.parametrize(
    ("objects", "found"),
    [
        (Objects(source="legacy"), 1),
        (Objects(day=datetime.now(UTC).date()), 2),
        (Objects(day=datetime(2001, 1, 1, tzinfo=UTC).date()), 0),
        (Objects(key_prefix="nothing"), 0),
    ],
)
def test_objects_are_replayed_by_source_and_day(database: FreshDatabase, objects: Objects, found: int) -> None:
    landing = Landing()
    ingest(
        database.loader,
        landing,
        landing.put("legacy-data/a", ROWS),
        landing.put("crm-data/b", [{"id": 1, "name": "X"}]),
    )
    with database.loader.connect() as connection:
        connection.execute("UPDATE ingest.objects SET discovered_at = now()")
        assert len(requeue(connection, objects)) == found


def test_an_unroutable_object_is_loaded_by_a_replay_once_its_source_is_registered(
    database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing = Landing()
    assert ingest(database.loader, landing, landing.put("hr-data/a", [{"id": 1, "name": "X"}])) == {}
    assert one(database, "SELECT state FROM ingest.objects") == ("unroutable",)
    hr = replace(registry.sources()["legacy"], name="hr")
    for module in ("ingest.loading.worker", "sources.registry"):
        monkeypatch.setattr(f"pipeline_project.{module}.sources", lambda: {"hr": hr})
    with database.loader.connect() as connection:
        assert len(requeue(connection, Objects(source="hr"))) == 1
    assert ingest(database.loader, landing)["hr-data/a"].inserted == 1


def test_an_explanation_names_object_record_and_what_lost(database: FreshDatabase) -> None:
    landing = Landing()
    first = [{"id": 9, "name": "Other"}, {"id": 1, "name": "A", "revenue": 5, "city": "Oslo"}]
    ingest(database.loader, landing, landing.put("legacy-data/1", first))
    ingest(
        database.loader, landing, landing.put("legacy-data/2", [{"id": 1, "name": "A", "revenue": 6, "city": "Oslo"}])
    )
    ingest(
        database.loader,
        landing,
        landing.put("legacy-data/3", [{"id": 1, "revenue": 7}, {"id": 2, "name": "B"}]),
    )
    with database.loader.connect() as connection:
        found = explain(connection, ENTITIES, "legacy_1")
        revenue = next(value for value in found.values if value.field == "revenue")
        city = next(value for value in found.values if value.field == "city")
        assert (revenue.value, revenue.set_by.key, revenue.set_by.ordinal) == (6, "legacy-data/2", 1)
        assert [(value, state.key, state.ordinal) for value, state in revenue.lost] == [(5, "legacy-data/1", 2)]
        assert (city.value, city.set_by.key, city.lost) == ("Oslo", "legacy-data/1", [])
        assert [(state.version, state.valid_to is None) for state in found.states] == [(1, False), (2, True)]
        assert [(reject.key, reject.ordinal) for reject in found.rejects] == [("legacy-data/3", 1)]
        assert [value.field for value in explain(connection, ENTITIES, "legacy_1", "city").values] == ["city"]
        with pytest.raises(Permanent, match="no row 'legacy_77'"):
            explain(connection, ENTITIES, "legacy_77")
        with pytest.raises(Permanent, match=r"no field 'colour'\. It has"):
            explain(connection, ENTITIES, "legacy_1", "colour")


def test_a_preview_counts_and_leaves_no_trace(database: FreshDatabase, tmp_path: Path) -> None:
    landing = Landing()
    known = [{"id": n, "name": f"N{n}", "revenue": n, "city": "Oslo"} for n in range(5)]
    ingest(database.loader, landing, landing.put("legacy-data/1", known))
    dump = (
        "SELECT (SELECT json_agg(e) FROM canonical.entities e)::text, (SELECT json_agg(o) FROM ingest.objects o)::text"
    )
    before = one(database, dump)
    changed = [
        *known[:2],
        {**known[2], "revenue": 9},
        {**known[3], "city": "Bergen", "revenue": 8},
        {"id": 77, "name": "New"},
    ]
    file = tmp_path / "file.json"
    file.write_bytes(msgspec.json.encode([*changed, {"id": 5}]))
    with database.loader.connect(autocommit=True) as connection:
        found = preview(connection, file, "legacy-data/file.json")
        with pytest.raises(Permanent, match="no source is registered"):
            preview(connection, file, "hr-data/file.json")
    outcome = found.outcome
    assert (outcome.inserted, outcome.updated, outcome.unchanged, outcome.rejected) == (1, 2, 2, 1)
    assert found.changed == {"revenue": 2, "city": 1}
    assert [bad.ordinal for bad in found.first_bad] == [6]
    assert one(database, dump) == before
