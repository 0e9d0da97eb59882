"""Which version each mapping gets, and what a new version makes of records that are sent again."""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_project.errors import Transient
from pipeline_project.ingest import ledger
from pipeline_project.ingest.loading.worker import Worker
from pipeline_project.ingest.mapping.mapper import Mapper
from pipeline_project.ingest.mapping.rows import Mapped
from pipeline_project.schema.sql_files import SQL
from pipeline_project.sources.source import Source
from pipeline_project_tests.fix_ingest import LENIENT, MENDED, Rows, register
from pipeline_project_tests.fix_postgres import ADVISORY_LOCKS, FreshDatabase
from pipeline_project_tests.landing import SETTINGS, Crashing, Landing, discover, ingest

OTHER = dataclasses.replace(LENIENT, revision=1)
"""A mapping that reads every record as LENIENT does, and has another fingerprint."""
EXPORT = [{"id": n, "name": f"Company {n}", "updated_at": None if n % 2 else "2024-01-01"} for n in range(1, 8)]
VERSIONS = "SELECT version, fingerprint FROM ingest.mappings WHERE dataset = 'entities' ORDER BY version"
STATES = """
    SELECT canonical_id, version, name, source_updated_at, object_modified_at, object_id, ordinal, content_hash, NULL
    FROM canonical.entities
    UNION ALL
    SELECT e.canonical_id, v.version, v.name, v.source_updated_at, v.object_modified_at, v.object_id, v.ordinal,
           v.content_hash, v.valid_to
    FROM canonical.entity_versions v JOIN canonical.entities e USING (entity_id) ORDER BY 1, 2"""
CONFIRMATIONS = """
    SELECT canonical_id, c.object_id, c.source_updated_at, c.ordinal
    FROM canonical.entity_confirmations c JOIN canonical.entities USING (entity_id) ORDER BY 1, 2"""


class InFull:
    """Counts the records that are mapped in full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records = 0
        map_all = Mapper.map_all

        def counted(mapper: Mapper, chunk: Any, places: Sequence[int], position: Any) -> Mapped:
            self.records += len(places)
            return map_all(mapper, chunk, places, position)

        monkeypatch.setattr(Mapper, "map_all", counted)

    def take(self) -> int:
        records, self.records = self.records, 0
        return records


@pytest.fixture
def in_full(monkeypatch: pytest.MonkeyPatch) -> InFull:
    return InFull(monkeypatch)


def test_after_a_changed_mapping_an_export_is_mapped_in_full_once(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch, in_full: InFull
) -> None:
    register(monkeypatch, LENIENT)
    mapped, counts = [], []
    for number in range(6):
        if number in (2, 4):
            register(monkeypatch, MENDED if number == 2 else LENIENT)
        before = rows(STATES)
        outcome = ingest(database.loader, landing, landing.put(f"legacy-data/{number}", EXPORT))[
            f"legacy-data/{number}"
        ]
        assert number == 0 or rows(STATES) == before
        mapped.append(in_full.take())
        counts.append((outcome.inserted, outcome.updated, outcome.unchanged, outcome.stale))
    assert mapped == [7, 0, 7, 0, 7, 0]
    assert counts == [(7, 0, 0, 0), *[(0, 0, 7, 0)] * 5]
    # The state is still what the first object said, as the first mapping read it.
    assert rows("SELECT DISTINCT mapping_version FROM canonical.entities") == [(1,)]
    assert rows("SELECT DISTINCT mapping_version FROM canonical.entity_confirmation_blocks ORDER BY 1") == [
        *((1,), (2,), (3,))
    ]


def test_a_state_that_an_older_mapping_read_is_read_again_by_a_replay(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch, in_full: InFull
) -> None:
    """Also where a later export has the very bytes of the first, so that the probe knows them."""
    register(monkeypatch, LENIENT)
    first = landing.put("legacy-data/first", EXPORT)
    ingest(database.loader, landing, first)
    register(monkeypatch, OTHER)
    ingest(database.loader, landing, landing.put("legacy-data/second", EXPORT))
    before = rows(STATES), rows(CONFIRMATIONS)
    in_full.take()
    for records in (7, 0):
        with database.loader.connect() as connection:
            ledger.replay(connection, [first.object_id])
        ingest(database.loader, landing)
        assert in_full.take() == records
        assert rows("SELECT DISTINCT mapping_version FROM canonical.entities") == [(2,)]
    assert (rows(STATES), rows(CONFIRMATIONS)) == before


def test_a_record_that_is_sent_again_is_read_by_the_corrected_mapping(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alias was added, and nothing else was done."""
    content = [{"id": 1, "name": "A", "changed": "2024-02-01T00:00:00Z"}]
    ingest(database.loader, landing, landing.put("legacy-data/1", content))
    register(monkeypatch, MENDED)
    outcome = ingest(database.loader, landing, landing.put("legacy-data/2", content))["legacy-data/2"]
    assert outcome.records == outcome.stale == 1
    assert rows("SELECT attributes ->> 'changed', source_updated_at::date::text FROM canonical.entity_versions") == [
        (None, "2024-02-01")
    ]


def test_each_change_of_the_mapping_gets_the_next_version_and_so_does_its_rollback(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, source in enumerate((LENIENT, LENIENT, MENDED, LENIENT, LENIENT)):
        register(monkeypatch, source)
        ingest(database.loader, landing, landing.put(f"legacy-data/{number}", [{"id": number, "name": "A"}, {"id": 9}]))
    before, changed = LENIENT.fingerprint("entities"), MENDED.fingerprint("entities")
    assert rows(VERSIONS) == [(1, before), (2, changed), (3, before)]
    read_by = [(1,), (1,), (2,), (3,), (3,)]
    assert rows("SELECT mapping_version FROM canonical.entities ORDER BY canonical_id") == read_by
    assert rows("SELECT mapping_version FROM ingest.rejects ORDER BY reject_id") == read_by


def test_a_refused_object_has_the_version_that_the_next_object_has(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, LENIENT)
    ingest(database.loader, landing, landing.put("legacy-data/bad", b"[truncated"))
    ingest(database.loader, landing, landing.put("legacy-data/good", [{"id": 1, "name": "A"}]))
    assert rows(VERSIONS) == [(1, LENIENT.fingerprint("entities"))]


@pytest.mark.parametrize("sources", [(OTHER, OTHER), (OTHER, MENDED)])
def test_two_workers_begin_with_a_new_mapping_at_once(
    database: FreshDatabase, landing: Landing, rows: Rows, sources: tuple[Source, Source]
) -> None:
    """Each waits for the lock of the source and dataset before it asks for the version."""
    ready = ThreadPoolExecutor(2)

    def begin(source: Source) -> int:
        with database.loader.connect() as connection:
            ledger.lock_dataset(connection, "legacy", "entities")
            return ledger.mapping_version(connection, source, "entities")[0]

    assert begin(LENIENT) == 1
    # Both wait behind a third, so that they come at the same moment.
    with database.loader.connect() as third, ready:
        ledger.lock_dataset(third, "legacy", "entities")
        both = [ready.submit(begin, source) for source in sources]
        while rows(f"SELECT count(*) FROM {ADVISORY_LOCKS} AND NOT granted") != [(2,)]:
            pass
        third.rollback()
        given = sorted(each.result() for each in both)
    distinct = len({*sources})
    assert given == [2, 1 + distinct]
    assert [version for version, _ in rows(VERSIONS)] == list(range(1, 2 + distinct))


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_leaves_no_version_without_its_rows(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    register(monkeypatch, LENIENT)
    ingest(database.loader, landing, landing.put("legacy-data/before", EXPORT))
    statement, finished = 0, False
    while not finished:
        source = dataclasses.replace(LENIENT, revision=statement + 1)
        register(monkeypatch, source)
        (newest,) = rows("SELECT max(version) FROM ingest.mappings")[0]
        seen = landing.put(f"legacy-data/{statement}", [*EXPORT, {"id": f"new {statement}", "name": "A"}])
        waiting = discover(database.loader, [seen])
        with psycopg.connect(database.admin, autocommit=True) as admin:
            crashing = Crashing(database.loader, admin, statement, after=after)
            try:
                list(Worker(crashing, landing, SETTINGS).ingest(waiting))
                finished = crashing.statements_left >= 0
            except Transient:
                pass
        loaded = rows(f"SELECT state = 'loaded' FROM ingest.objects WHERE object_id = {seen.object_id}") == [(True,)]
        assert rows("SELECT max(version) FROM ingest.mappings") == [(newest + loaded,)]
        ingest(database.loader, landing)
        assert rows(VERSIONS)[-1] == (newest + 1, source.fingerprint("entities"))
        new = f"SELECT mapping_version FROM canonical.entities WHERE canonical_id = 'legacy_new {statement}'"
        assert rows(new) == [(newest + 1,)]
        statement += 1
    assert statement > 10
    assert rows("SELECT DISTINCT version FROM canonical.entities") == [(1,)]


# --- two releases side by side


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    exports=st.lists(
        st.tuples(
            st.lists(
                st.tuples(st.integers(1, 3), st.sampled_from("AAB")), min_size=1, max_size=3, unique_by=lambda r: r[0]
            ),
            st.sampled_from([LENIENT, OTHER]),
            st.booleans(),
        ),
        min_size=2,
        max_size=8,
    ),
    order=st.randoms(use_true_random=False),
)
def test_two_releases_that_load_in_turn_leave_what_one_would(
    database: FreshDatabase, exports: list[tuple[list[tuple[int, str]], Source, bool]], order: Any
) -> None:
    """Whatever the order of arrival, and whichever of them replays an object. Only the versions of the mapping differ."""
    found = []
    for both in (True, False):
        landing = Landing()
        seen = [
            landing.put(f"legacy-data/{number}", [{"id": key, "name": name} for key, name in said], second=number)
            for number, (said, *_) in enumerate(exports)
        ]
        with psycopg.connect(database.admin, autocommit=True) as admin, pytest.MonkeyPatch.context() as patch:
            for table in ("entities", "entity_versions", "entity_confirmation_blocks"):
                admin.execute(f"DELETE FROM canonical.{table}".encode())
            admin.execute("DELETE FROM ingest.objects; DELETE FROM ingest.mappings")
            turns = list(range(len(seen)))
            if both:
                order.shuffle(turns)
            for number in turns:
                _, source, replayed = exports[number]
                register(patch, source if both else LENIENT)
                discover(database.loader, [seen[number]])
                if replayed:
                    with database.loader.connect() as connection:
                        ledger.replay(connection, [each.object_id for each in seen[: number + 1]])
                ingest(database.loader, landing)
            told = (STATES, CONFIRMATIONS, "SELECT object_id, state FROM ingest.objects ORDER BY 1")
            found.append([admin.execute(query.encode()).fetchall() for query in told])
    assert found[0] == found[1]


# --- databases of releases that had no table of mappings

MIGRATION = (SQL / "migrations" / "20261201000080_mappings.sql").read_text("utf-8")


def migrate_again(database: FreshDatabase) -> None:
    """Bring the table as the migration does into a database that is filled."""
    with database.owner.connect() as connection:
        connection.execute("DROP TABLE ingest.mappings")
        connection.execute(MIGRATION.split("-- migrate:down")[0].encode())


def test_the_migration_adopts_the_versions_in_use_and_maps_nothing_again(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch, in_full: InFull
) -> None:
    with database.owner.connect() as connection:
        connection.execute("INSERT INTO ingest.mappings VALUES ('legacy', 'entities', 6, 'of an earlier mapping')")
    register(monkeypatch, LENIENT)
    metrics = [{"id": 1, "type": "t", "date": "2025-01-01", "value": 1}]
    ingest(
        database.loader,
        landing,
        landing.put("legacy-data/1", [*EXPORT, {"id": 99}]),
        landing.put("legacy-data/metrics/1", metrics),
        landing.put("crm-data/1", b"[truncated"),
    )
    migrate_again(database)
    adopted = "SELECT source, dataset, version, fingerprint FROM ingest.mappings ORDER BY 1, 2"
    assert rows(adopted) == [("legacy", "entities", 7, None), ("legacy", "metrics", 1, None)]
    in_full.take()
    outcome = ingest(database.loader, landing, landing.put("legacy-data/2", EXPORT))["legacy-data/2"]
    assert (outcome.unchanged, in_full.take()) == (7, 0)
    assert rows(VERSIONS) == [(7, LENIENT.fingerprint("entities"))]


def test_a_version_that_only_confirmations_or_rejects_have_is_in_use(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, source in enumerate((LENIENT, OTHER)):
        register(monkeypatch, source)
        ingest(database.loader, landing, landing.put(f"legacy-data/{number}", EXPORT))
    register(monkeypatch, LENIENT)
    ingest(database.loader, landing, landing.put("legacy-data/metrics/bad", [{"id": 1}] * 3))
    with database.owner.connect() as connection:
        connection.execute("UPDATE ingest.rejects SET mapping_version = 4")
    migrate_again(database)
    assert rows("SELECT dataset, version FROM ingest.mappings ORDER BY 1") == [("entities", 2), ("metrics", 4)]


def test_the_loader_writes_mappings_and_changes_but_their_fingerprint(database: FreshDatabase, rows: Rows) -> None:
    assert database.loader
    rights = "SELECT has_column_privilege('pipeline_loader', 'ingest.mappings', {}, 'UPDATE')"
    assert rows(rights.format("'fingerprint'")) == [(True,)]
    assert rows(rights.format("'version'")) == [(False,)]
    assert rows("""SELECT has_table_privilege('pipeline_loader', 'ingest.mappings', 'DELETE'),
        has_table_privilege('pipeline_reader', 'ingest.mappings', 'SELECT')""") == [(False, False)]
