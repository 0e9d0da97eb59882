"""The ledger at its bounds: who may take an object, in which order, how often, and which day an object is of."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg import sql

from pipeline_project.database import Connection
from pipeline_project.ingest import ledger
from pipeline_project.ingest.ledger import ObjectSeen
from pipeline_project.ingest.ledger import replays as replay
from pipeline_project.ingest.ledger.batches import Batch, LiveRuns, assign
from pipeline_project.ingest.ledger.replays import Objects
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import SETTINGS, Landing

MAX_ATTEMPTS = 3


@pytest.fixture
def admin(database: FreshDatabase) -> Iterator[Connection]:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        yield connection


@pytest.fixture
def loader(database: FreshDatabase) -> Iterator[Connection]:
    connection = database.loader.open(autocommit=True)
    # In the farthest time zone, a day begins fourteen hours before that of UTC.
    connection.execute("SET timezone = 'Pacific/Kiritimati'")
    yield connection
    connection.close()


def seen(landing: Landing, *names: str, source: str = "crm", content: bytes = b"[]") -> list[ObjectSeen]:
    return [landing.put(f"{source}-data/{name}", content) for name in names]


def ids(objects: Sequence[ObjectSeen]) -> list[int]:
    return [each.object_id for each in objects]


def discovered_at(admin: Connection, times: dict[int, str]) -> None:
    for object_id, at in times.items():
        admin.execute("UPDATE ingest.objects SET discovered_at = %s WHERE object_id = %s", (at, object_id))


def column(admin: Connection, name: str, object_id: int) -> Any:
    [(value,)] = admin.execute(
        sql.SQL("SELECT {} FROM ingest.objects WHERE object_id = %s").format(sql.Identifier(name)),
        (object_id,),
    ).fetchall()
    return value


def loaded(admin: Connection) -> None:
    """Bring all objects to the state `loaded`, by the transitions that the ledger allows."""
    admin.execute("""
        UPDATE ingest.objects SET state = 'claimed', claimed_by = 'w', claim_expires_at = now()
        WHERE state = 'discovered'""")
    admin.execute("""
        UPDATE ingest.objects SET state = 'loaded', claimed_by = NULL, claim_expires_at = NULL
        WHERE state = 'claimed'""")


@contextmanager
def alive(database: FreshDatabase, worker: str) -> Iterator[None]:
    """Hold the lock that a living worker holds on its name."""
    with database.loader.connect(autocommit=True) as session:
        session.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (worker,))
        yield
        session.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (worker,))


def given(connection: Connection, living: LiveRuns | None = None, *, runs: int = 100, **settings: Any) -> list[Batch]:
    changed = msgspec.structs.replace(SETTINGS, **settings)
    return assign(connection, changed, lambda: living or LiveRuns(), runs)[0]


def test_the_oldest_wait_in_front_and_equal_ones_by_their_ids(
    loader: Connection, admin: Connection, landing: Landing
) -> None:
    objects = seen(landing, "a", "b", "c", "d")
    first, *others = sorted(ids(objects), reverse=True)
    ledger.discover(loader, objects)
    discovered_at(admin, {first: "2025-01-01Z"} | dict.fromkeys(others, "2025-01-02Z"))
    expected = [first, *sorted(others)]
    for limit in (3, 4, 5):  # below, at and beyond the number that waits
        assert [each.object_id for each in ledger.waiting(loader, limit)] == expected[:limit]


def test_a_claim_is_taken_over_when_it_expires_or_its_worker_is_dead(
    loader: Connection, admin: Connection, database: FreshDatabase, landing: Landing
) -> None:
    [one] = ids(objects := seen(landing, "a"))
    ledger.discover(loader, objects)

    def claimed_by(worker: str) -> list[int]:
        """Claim the object and open it, which is an attempt. Return the attempts before."""
        claimed = ledger.claim(loader, [one], worker=worker, run_id=None, seconds=3600)
        ledger.open_objects(loader, [each.object_id for each in claimed], worker=worker, seconds=60)
        return [each.attempts for each in claimed]

    with alive(database, "first"):
        assert claimed_by("first") == [0]
        assert claimed_by("second") == []
        assert ledger.waiting(loader, 9) == []
        admin.execute("UPDATE ingest.objects SET claim_expires_at = now() - interval '1 second'")
        assert [each.object_id for each in ledger.waiting(loader, 9)] == [one]
        assert claimed_by("first") == [1]
    assert [each.object_id for each in ledger.waiting(loader, 9)] == [one]
    assert claimed_by("second") == [2]


def test_only_its_own_worker_gives_an_object_back_and_the_attempt_does_not_count(
    loader: Connection, admin: Connection, landing: Landing
) -> None:
    [one] = ids(objects := seen(landing, "a"))
    ledger.discover(loader, objects)
    ledger.claim(loader, [one], worker="mine", run_id=None, seconds=3600)
    ledger.release(loader, worker="another")
    assert column(admin, "state", one) == "claimed"
    ledger.release(loader, worker="mine")
    assert (column(admin, "state", one), column(admin, "attempts", one)) == ("discovered", 0)
    assert (column(admin, "claimed_by", one), column(admin, "claim_expires_at", one)) == (None, None)


@pytest.mark.parametrize("loaded_as", [None, "loaded", "loaded_with_rejects"])
def test_the_last_attempt_fails_or_leaves_what_was_loaded(
    loader: Connection, admin: Connection, landing: Landing, loaded_as: str | None
) -> None:
    [one] = ids(objects := seen(landing, "a"))
    ledger.discover(loader, objects)
    admin.execute("UPDATE ingest.objects SET loaded_as = %s", (loaded_as,))
    for attempt in range(1, MAX_ATTEMPTS + 1):
        [claimed] = ledger.claim(loader, [one], worker="w", run_id=None, seconds=3600)
        ledger.open_objects(loader, [one], worker="w", seconds=60)
        assert claimed.loaded_before == (loaded_as is not None)
        states = ledger.retry_later(
            loader, [one], worker="w", max_attempts=MAX_ATTEMPTS, code="storage", message=f"attempt {attempt}"
        )
        is_last = attempt == MAX_ATTEMPTS
        assert states == {one: (loaded_as or "failed") if is_last else "discovered"}
        assert column(admin, "loaded_as", one) == (None if is_last else loaded_as)
        assert (column(admin, "finished_at", one) is not None) == is_last
        assert (column(admin, "error_code", one), column(admin, "error_message", one)) == (
            "storage",
            f"attempt {attempt}",
        )
        assert (column(admin, "claimed_by", one), column(admin, "claim_expires_at", one)) == (None, None)


def test_an_object_is_tried_later_only_by_the_worker_that_holds_it(
    loader: Connection, admin: Connection, landing: Landing
) -> None:
    [one] = ids(objects := seen(landing, "a"))
    ledger.discover(loader, objects)
    ledger.claim(loader, [one], worker="w", run_id=None, seconds=3600)
    assert ledger.retry_later(loader, [one], worker="x", max_attempts=1, code="c", message="m") == {}
    assert column(admin, "state", one) == "claimed"


def test_a_claim_forgets_the_error_of_the_attempt_before(
    loader: Connection, admin: Connection, landing: Landing
) -> None:
    [one] = ids(objects := seen(landing, "a"))
    ledger.discover(loader, objects)
    admin.execute("""
        UPDATE ingest.objects SET error_code = 'c', error_message = 'm', error_line = 1, error_column = 1,
               finished_at = now()""")
    ledger.claim(loader, [one], worker="w", run_id="run", seconds=3600)
    names = ("error_code", "error_message", "error_line", "error_column", "finished_at")
    assert [column(admin, name, one) for name in names] == [None] * 5
    assert column(admin, "run_id", one) == "run"
    assert column(admin, "started_at", one) is not None


def test_the_day_of_an_object_is_that_of_utc(loader: Connection, admin: Connection, landing: Landing) -> None:
    before, first, last, after = ids(objects := seen(landing, "a", "b", "c", "d"))
    ledger.discover(loader, objects)
    times = {
        before: "2025-03-09 23:59:59.999999Z",
        first: "2025-03-10 00:00:00Z",
        last: "2025-03-10 23:59:59.999999Z",
        after: "2025-03-11 00:00:00Z",
    }
    discovered_at(admin, times)
    assert {batch.day.day: {*batch.object_ids} for batch in given(loader)} == {
        9: {before},
        10: {first, last},
        11: {after},
    }
    loaded(admin)
    assert {*replay.requeue(loader, Objects(day=date(2025, 3, 10)))} == {first, last}


def test_a_batch_holds_as_many_objects_and_bytes_as_it_may_and_no_more(loader: Connection, landing: Landing) -> None:
    ledger.discover(loader, seen(landing, *"abcdef", content=b"[1234567]"[:8]))
    batches = given(loader, ingest_batch_objects=3, ingest_batch_bytes=10**6)
    assert [len(batch.object_ids) for batch in batches] == [3, 3]
    ledger.discover(loader, seen(landing, *"ghijkl", content=b"[123456]"))
    batches = given(loader, ingest_batch_objects=100, ingest_batch_bytes=16)
    assert [(len(batch.object_ids), batch.bytes) for batch in batches] == [(2, 16)] * 3
    ledger.discover(loader, seen(landing, *"mno", content=b"[123456]"))
    assert [batch.bytes for batch in given(loader, ingest_batch_objects=100, ingest_batch_bytes=15)] == [8, 8, 8]


def test_a_source_gets_as_many_runs_as_it_may_have_and_no_more(loader: Connection, landing: Landing) -> None:
    ledger.discover(loader, seen(landing, "a", "b", "c"))
    ledger.discover(loader, seen(landing, "a", source="erp"))
    busy = LiveRuns(batches=["x", "y"], runs={"crm": 2})
    assert [batch.source for batch in given(loader, busy, runs=2, ingest_batch_objects=1)] == ["erp"]
    busy = LiveRuns(batches=["x"], runs={"crm": 1})
    assert len(given(loader, busy, runs=2, ingest_batch_objects=1)) == 1
    assert len(given(loader, busy, runs=2, ingest_batch_objects=1)) == 1


@pytest.mark.parametrize(("attempts", "pause"), [(0, 15), (1, 30), (5, 480), (6, 480)])
def test_an_object_whose_run_ended_waits_longer_after_each_attempt(
    loader: Connection, admin: Connection, landing: Landing, attempts: int, pause: int
) -> None:
    ledger.discover(loader, seen(landing, "a"))
    [batch] = given(loader)
    admin.execute(
        "UPDATE ingest.objects SET attempts = %s, batched_at = now() - make_interval(secs => %s)", (attempts, pause - 5)
    )
    assert given(loader) == []
    admin.execute("UPDATE ingest.objects SET batched_at = batched_at - interval '6 seconds'")
    assert given(loader, LiveRuns(batches=[batch.id])) == []
    [again] = given(loader)
    assert (again.object_ids, again.id != batch.id) == (batch.object_ids, True)


def test_an_object_whose_worker_died_with_it_goes_to_the_next_run_at_once(
    loader: Connection, admin: Connection, database: FreshDatabase, landing: Landing
) -> None:
    [one] = ids(objects := seen(landing, "a"))
    ledger.discover(loader, objects)
    [batch] = given(loader)
    with alive(database, "w"):
        ledger.claim(loader, [one], worker="w", run_id=None, seconds=3600)
        assert given(loader) == []
    [again] = given(loader, LiveRuns(batches=[batch.id]))
    assert again.object_ids == [one]


def test_objects_to_be_replayed_are_those_that_all_restrictions_mean(
    loader: Connection, admin: Connection, landing: Landing
) -> None:
    a, b, c = ids(objects := [*seen(landing, "2025/a", "2026/b"), *seen(landing, "2025/c", source="erp")])
    ledger.discover(loader, objects)
    discovered_at(admin, {a: "2025-03-10Z", b: "2025-03-10Z", c: "2025-03-11Z"})

    def replayed(**restrictions: Any) -> set[int]:
        loaded(admin)
        return {*replay.requeue(loader, Objects(**restrictions))}

    assert replayed() == {a, b, c}
    assert replayed(object_ids=[a, c]) == {a, c}
    assert replayed(key_prefix="crm-data/2025/") == {a}
    assert replayed(source="crm") == {a, b}
    assert replayed(source="crm", object_ids=[b, c]) == {b}
    assert replayed(source="erp", day=date(2025, 3, 10)) == set()


def test_each_object_is_discovered_once_and_an_event_adds_what_a_listing_does_not_know(
    loader: Connection, admin: Connection, landing: Landing
) -> None:
    [event] = seen(landing, "a")
    listing = ObjectSeen(**{**vars(event), "discovered_by": "listing", "sequencer": None})
    assert ledger.discover(loader, [listing]) == [event.object_id]
    assert column(admin, "sequencer", event.object_id) is None
    assert ledger.discover(loader, [event]) == []
    assert (column(admin, "sequencer", event.object_id), column(admin, "discovered_by", event.object_id)) == (
        event.sequencer,
        "listing",
    )
    later = ObjectSeen(**{**vars(event), "sequencer": "another"})
    ledger.discover(loader, [later])
    ledger.discover(loader, [listing])
    assert column(admin, "sequencer", event.object_id) == event.sequencer


def test_an_event_does_not_wait_for_an_object_that_is_being_loaded(
    loader: Connection, admin: Connection, landing: Landing
) -> None:
    [event] = seen(landing, "a")
    listing = ObjectSeen(**{**vars(event), "discovered_by": "listing", "sequencer": None})
    ledger.discover(loader, [listing])
    loader.execute("SET lock_timeout = '5s'")
    with admin.transaction():
        admin.execute("SELECT FROM ingest.objects FOR UPDATE")
        assert ledger.discover(loader, [event]) == []
