"""Replays: of what is there, after a mapping was mended, and of what is refused now."""

import dataclasses
from datetime import date
from typing import Annotated, Any, ClassVar

import psycopg
import pytest
from pydantic import StringConstraints

from pipeline_project.datasets.entities import Entity
from pipeline_project.ingest import ledger
from pipeline_project.ingest.inspection import report
from pipeline_project.ingest.ledger import replays as replay
from pipeline_project.ingest.ledger.replays import Objects
from pipeline_project.ingest.loading import worker
from pipeline_project.ingest.rejects import rejected_rows as quarantine
from pipeline_project.ingest.rejects.rejected_rows import Selection
from pipeline_project.schema.fields import aliased
from pipeline_project.schema.sql_files import query
from pipeline_project.sources.legacy import SOURCE as LEGACY
from pipeline_project_tests.fix_ingest import LENIENT, MENDED, Rows, register
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import SETTINGS, Landing, ingest


def everything(rows: Rows) -> list[Any]:
    tables = ("canonical.entities", "canonical.entity_versions", "canonical.entity_confirmation_blocks",
              "canonical.entity_relationships", "canonical.time_series_data")  # fmt: skip
    return [rows(f"SELECT xmin, * FROM {table} ORDER BY 2, 3, 4") for table in tables]


@pytest.mark.parametrize("small", [1 << 20, 0])
def test_a_replay_of_what_is_there_changes_nothing(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(worker, "SMALL", small)
    for number, name in enumerate(("A", "B", "B", "A")):
        content = [
            {"id": 1, "name": name},
            {"id": 2, "name": "Z"},
            {"id": 3, "name": name, "updated_at": f"2024-01-0{4 - number}"},
        ]
        ingest(database.loader, landing, landing.put(f"legacy-data/{number}", content))
    ingest(
        database.loader,
        landing,
        landing.put("legacy-data/relationships/r", [{"parent_id": 1, "child_id": 2, "type": "t"}]),
    )
    ingest(
        database.loader,
        landing,
        landing.put("legacy-data/metrics/m", [{"id": 1, "type": "t", "date": "2025-01-01", "value": 1}]),
    )
    before = everything(rows)
    version = rows("SELECT data_version FROM analytics.data_version")
    with database.loader.connect() as connection:
        assert len(replay.requeue(connection, Objects())) == 6
    outcomes = ingest(database.loader, landing)
    assert {outcome.state for outcome in outcomes.values()} == {"loaded"}
    assert sum(outcome.inserted + outcome.updated for outcome in outcomes.values()) == 0
    assert everything(rows) == before
    assert rows("SELECT data_version FROM analytics.data_version") == version


def test_objects_are_replayed_by_id_prefix_source_and_day(
    database: FreshDatabase, landing: Landing, rows: Rows
) -> None:
    seen = [landing.put(key, [{"id": 1, "name": "A"}]) for key in ("legacy-data/a", "legacy-data/b%", "crm-data/a")]
    ingest(database.loader, landing, *seen)
    today = rows("SELECT (now() AT TIME ZONE 'UTC')::date")[0][0]
    for objects, count in (
        (Objects(object_ids=[seen[0].object_id]), 1),
        (Objects(key_prefix="legacy-data/"), 2),
        (Objects(key_prefix="legacy-data/b%"), 1),
        (Objects(key_prefix="legacy-data/_"), 0),
        (Objects(source="crm"), 1),
        (Objects(day=today), 3),
        (Objects(source="legacy", day=today.replace(year=2001)), 0),
    ):
        with database.loader.connect() as connection:
            assert len(replay.requeue(connection, objects)) == count, objects
        assert len(ingest(database.loader, landing)) == count


def test_a_replay_after_a_mapping_fix_puts_the_rows_in_their_new_places(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source's own time was an attribute before; now it decides."""
    newer = landing.put("legacy-data/1", [{"id": 1, "name": "new", "changed": "2024-02-01T00:00:00Z"}])
    older = landing.put("legacy-data/2", [{"id": 1, "name": "old", "changed": "2024-01-01T00:00:00Z"}])
    ingest(database.loader, landing, newer, older)
    assert rows("SELECT name FROM canonical.entities") == [("old",)]
    register(monkeypatch, MENDED)
    with database.loader.connect() as connection:
        replay.requeue(connection, Objects(source="legacy"))
    ingest(database.loader, landing)
    assert rows(
        "SELECT name, mapping_version, source_updated_at::date::text, attributes::text FROM canonical.entities"
    ) == [("new", 2, "2024-02-01", "{}")]
    assert rows("SELECT name, mapping_version, source_updated_at::date::text FROM canonical.entity_versions") == [
        ("old", 2, "2024-01-01")
    ]


# --- what is refused now


class Strict(Entity):
    """A mapping that became stricter: it knows no names that are longer than a letter."""

    name: Annotated[str, StringConstraints(max_length=1)] | None = aliased("name")


STRICT = dataclasses.replace(LEGACY, records=(Strict,))
LEDGER = """
    SELECT state, format, records, inserted, rejected, error_code, error_message LIKE '%what was loaded before stays: %'
    FROM ingest.objects"""


@pytest.fixture(params=["together", "alone"])
def batching(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "alone":
        monkeypatch.setattr(worker, "SMALL", 0)


def requeue(database: FreshDatabase) -> None:
    with database.loader.connect() as connection:
        assert replay.requeue(connection, Objects(source="legacy")) != []


@pytest.mark.usefixtures("batching")
def test_a_replay_that_is_refused_takes_nothing_away(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = [{"id": 1, "name": "A"}, {"id": 2, "name": "Bee"}, {"id": 3, "name": "Cee"}]
    ingest(database.loader, landing, landing.put("legacy-data/a", content))
    before = everything(rows), rows("SELECT data_version FROM analytics.data_version")
    register(monkeypatch, STRICT)
    requeue(database)
    outcome = ingest(database.loader, landing)["legacy-data/a"]
    # The run tells that it was refused; the ledger that it is loaded all the same, and why it was refused.
    assert (outcome.state, outcome.fault and outcome.fault.code) == ("failed", "too_many_rejects")
    assert rows(LEDGER) == [("loaded", "array", 3, 3, 0, "too_many_rejects", True)]
    assert (everything(rows), rows("SELECT data_version FROM analytics.data_version")) == before
    assert rows("SELECT count(*) FROM ingest.rejects") == [(0,)]
    with database.loader.connect() as connection:
        ((_, key, state, _, reason, *_),) = connection.execute(
            query("ingest/inspection/status_attention"), {"limit": 9}
        ).fetchall()
    assert (key, state) == ("legacy-data/a", "loaded")
    assert reason.startswith("a replay was refused, what was loaded before stays: 2 of 3")
    # A mapping that takes it again leaves no trace of that.
    register(monkeypatch, dataclasses.replace(LEGACY, revision=1))
    requeue(database)
    assert ingest(database.loader, landing)["legacy-data/a"].state == "loaded"
    assert rows(LEDGER) == [("loaded", "array", 3, 0, 0, None, None)]


@pytest.mark.usefixtures("batching")
def test_a_row_that_a_replay_finds_bad_is_a_reject_and_what_it_said_stays(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(database.loader, landing, landing.put("legacy-data/a", [{"id": 1, "name": "A"}, {"id": 2, "name": "Bee"}]))
    register(monkeypatch, STRICT)
    requeue(database)
    ingest(database.loader, landing)
    assert rows(LEDGER) == [("loaded_with_rejects", "array", 2, 0, 1, None, None)]
    assert rows("SELECT record_key, status FROM ingest.rejects") == [("legacy_2", "open")]
    assert rows("SELECT name, mapping_version FROM canonical.entities ORDER BY name") == [("A", 2), ("Bee", 1)]
    ingest(database.loader, landing, landing.put("legacy-data/b", [{"id": 2, "name": "B"}]))
    assert rows("SELECT status FROM ingest.rejects") == [("superseded",)]


def test_an_object_that_is_gone_from_its_bucket_stays_loaded(
    database: FreshDatabase, landing: Landing, rows: Rows
) -> None:
    ingest(database.loader, landing, landing.put("legacy-data/a", [{"id": 1, "name": "A"}, {"id": 2}]))
    requeue(database)
    outcome = ingest(database.loader, Landing())["legacy-data/a"]
    assert outcome.fault is not None
    assert outcome.fault.code == "gone"
    assert rows(LEDGER) == [("loaded_with_rejects", "array", 2, 1, 1, "gone", True)]
    # Its reject has not lost its object.
    with database.loader.connect(autocommit=True) as connection:
        assert quarantine.replay(connection, Selection(source="legacy")).still_bad == 1


def test_an_object_that_storage_keeps_back_stays_loaded(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    ingest(database.loader, landing, landing.put("legacy-data/a", [{"id": 1, "name": "A"}]))
    requeue(database)

    class Away(Landing):
        def get_object(self, **_: Any) -> dict[str, Any]:
            raise ConnectionResetError

    for _ in range(SETTINGS.ingest_max_attempts):
        assert rows("SELECT state FROM ingest.objects") == [("discovered",)]
        ingest(database.loader, Away())
    assert [row[:6] for row in rows(LEDGER)] == [("loaded", "array", 1, 1, 0, "storage")]


def test_what_was_refused_before_is_refused_again(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    ingest(database.loader, landing, landing.put("legacy-data/a", [{"id": 1, "name": "A"}, {}, {}]))
    requeue(database)
    ingest(database.loader, landing)
    assert rows(LEDGER) == [("failed", "array", 3, 0, 2, "too_many_rejects", False)]
    assert rows("SELECT status FROM ingest.rejects") == [("open",), ("open",)]


def test_a_replay_raises_the_mapping_of_each_state(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another row of the same bytes was read by the newer mapping before."""
    register(monkeypatch, LENIENT)
    seen = [
        landing.put(f"legacy-data/{second}", [{"id": 1, "name": name}], second=second)
        for second, name in ((0, "A"), (10, "B"), (20, "A"))
    ]
    for each in seen:
        ingest(database.loader, landing, each)
    register(monkeypatch, dataclasses.replace(LENIENT, revision=1))
    late = landing.put("legacy-data/late", [{"id": 1, "name": "C"}], second=5)
    for objects in (seen[:1], seen[1:]):
        with database.loader.connect() as connection:
            ledger.replay(connection, [each.object_id for each in objects])
        ingest(database.loader, landing, *([late] if objects == seen[:1] else []))
    states = "SELECT name, mapping_version FROM canonical.entity_versions ORDER BY version"
    assert rows(states) == [("A", 2), ("C", 2), ("B", 2)]
    assert rows("SELECT name, mapping_version FROM canonical.entities") == [("A", 2)]


def test_what_is_put_back_by_hand_is_not_late(database: FreshDatabase, landing: Landing) -> None:
    seen = landing.put("legacy-data/a", [{"id": 1, "name": "A"}])
    ingest(database.loader, landing, seen)
    with database.loader.connect() as connection:
        (first,) = report.shares(connection, [seen.object_id])
        ledger.replay(connection, [seen.object_id])
    ingest(database.loader, landing)
    with database.loader.connect() as connection:
        (again,) = report.shares(connection, [seen.object_id])
    assert first.longest_lag is not None
    assert (again.objects, again.longest_lag) == (1, None)


# --- a large ledger

OBJECTS = 100_000
OF_SOURCE = 2_500
OLD_UNROUTABLE = 1_500
FILL = f"""
    INSERT INTO ingest.objects (
        object_id, bucket, key, version, versioned, size, discovered_by, source, dataset, state, discovered_at)
    SELECT hashtextextended(n::text, 0) & 9223372036854775807, 'landing', source || '-data/' || n, n, true, 1, 'event', source,
        'entities', 'loaded', '2025-03-01T00:00:00Z'::timestamptz + n * interval '1 second'
    FROM (SELECT n, CASE WHEN n %% {OBJECTS // OF_SOURCE} = 0 THEN 'legacy' ELSE 'crm' END AS source
          FROM generate_series(1, {OBJECTS}) AS n) AS numbers;
    INSERT INTO ingest.objects (object_id, bucket, key, version, versioned, size, discovered_by, state)
    SELECT n, 'landing', CASE WHEN n <= {OLD_UNROUTABLE} THEN 'legacy-data/' ELSE 'other-data/' END || n, 'u' || n, true, 1,
        'event', 'unroutable'
    FROM generate_series(1, {2 * OLD_UNROUTABLE}) AS n;
    ANALYZE ingest.objects""".replace("%%", "%")


@pytest.fixture
def large_ledger(database: FreshDatabase) -> FreshDatabase:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        connection.execute(FILL.encode())
        connection.execute("VACUUM ingest.objects")
    return database


class Counting(psycopg.Cursor[Any]):
    """Notes how many rows come back from each statement."""

    fetched: ClassVar[list[int]] = []

    def execute(self, *arguments: Any, **options: Any) -> Any:
        result = super().execute(*arguments, **options)
        self.fetched.append(self.rowcount if self.description else 0)
        return result


@pytest.mark.parametrize(
    ("objects", "count"),
    [
        (Objects(source="legacy"), OF_SOURCE + OLD_UNROUTABLE),
        (Objects(key_prefix="legacy-data/"), OF_SOURCE + OLD_UNROUTABLE),
        (Objects(source="legacy", day=date(2025, 3, 1)), 86_399 // (OBJECTS // OF_SOURCE)),
        (Objects(source="legacy", day=date(2025, 3, 2)), OF_SOURCE - 86_399 // (OBJECTS // OF_SOURCE)),
    ],
    ids=["source", "prefix", "first day", "last day"],
)
def test_a_replay_reads_what_it_means_and_page_by_page(
    large_ledger: FreshDatabase, rows: Rows, objects: Objects, count: int
) -> None:
    Counting.fetched.clear()
    read = """SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables
        WHERE relid = 'ingest.objects'::regclass"""
    with psycopg.connect(large_ledger.loader.conninfo(), cursor_factory=Counting) as connection:
        found = replay.requeue(connection, objects)
        read_rows = connection.execute(read.encode()).fetchall()[0][0]
    assert len(found) == len({*found}) == count
    assert max(Counting.fetched) == min(count, replay.PAGE)
    # Each of these rows is read a few times: found, rerouted, requeued, and seen to wait. Every other row is not.
    assert read_rows <= 8 * (OF_SOURCE + OLD_UNROUTABLE) < OBJECTS / 2
    assert rows("SELECT count(*) FROM ingest.objects WHERE state = 'discovered'") == [(count,)]
    assert rows("SELECT count(*) FROM ingest.objects WHERE state = 'unroutable' AND key LIKE 'other-data/%'") == [
        (OLD_UNROUTABLE,)
    ]


def test_named_objects_are_read_in_pages_too(large_ledger: FreshDatabase, rows: Rows) -> None:
    ids = [object_id for (object_id,) in rows("SELECT object_id FROM ingest.objects WHERE source = 'legacy'")]
    Counting.fetched.clear()
    with psycopg.connect(large_ledger.loader.conninfo(), cursor_factory=Counting) as connection:
        assert sorted(replay.requeue(connection, Objects(object_ids=ids))) == sorted(ids)
        assert replay.requeue(connection, Objects(object_ids=ids, source="crm")) == []
    assert max(Counting.fetched) == replay.PAGE
