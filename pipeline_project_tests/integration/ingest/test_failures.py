"""Workers that are killed, servers that go away, neighbours that are slow: nothing is lost, and nothing is there twice."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from psycopg.rows import dict_row

from pipeline_project.database import Database
from pipeline_project.errors import Transient
from pipeline_project.ingest import ledger
from pipeline_project.ingest.decoding import limits
from pipeline_project.ingest.ledger.objects import ObjectSeen
from pipeline_project.ingest.loading import microbatches
from pipeline_project.ingest.loading.loader import Loader
from pipeline_project.ingest.loading.worker import Worker, open_object
from pipeline_project.ingest.mapping.rows import ObjectPosition
from pipeline_project.sources.registry import sources
from pipeline_project_tests.fix_postgres import ADVISORY_LOCKS, FreshDatabase
from pipeline_project_tests.landing import SETTINGS, Crashing, Landing, discover, ingest

ROWS = 2_000


def customers(count: int = 3, revenue: int = 1) -> list[dict[str, Any]]:
    return [{"id": number, "name": f"Company {number}", "revenue": revenue} for number in range(count)]


@contextmanager
def admin(database: FreshDatabase) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        yield connection


def ledger_row(database: FreshDatabase, key: str) -> dict[str, Any]:
    with psycopg.connect(database.admin) as connection, connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute("SELECT * FROM ingest.objects WHERE key = %s", (key,)).fetchone()
    assert row is not None
    return row


def until(happened: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- a worker that is killed


class StallingBody:
    """Half of the content; then it tells that it is reached, and waits for ever."""

    def __init__(self, data: bytes, reached: Path) -> None:
        self._file = BytesIO(data[: len(data) // 2])
        self._reached = reached

    def read(self, size: int = -1, /) -> bytes:
        if not (data := self._file.read(size)):
            self._reached.touch()
            time.sleep(600)
        return data

    def close(self) -> None:
        self._file.close()


class StallingLanding(Landing):
    """Its large objects stall."""

    def __init__(self, landing: Landing, reached: Path) -> None:
        self.__dict__ = landing.__dict__
        self._reached = reached

    def get_object(self, **which: Any) -> dict[str, Any]:
        answer = super().get_object(**which)
        data = answer["Body"].read()
        small = len(data) < 10_000
        return {**answer, "Body": BytesIO(data) if small else StallingBody(data, self._reached)}


def work(conninfo: str, landing: Landing, reached: Path, object_ids: list[int]) -> None:
    """A worker process: it writes what it has read before the rest comes."""
    limits.WINDOW = limits.RECORD_LIMIT = 16 * 1024
    microbatches.MICRO_BATCH_RECORDS = 1
    list(Worker(Database(lambda: conninfo), StallingLanding(landing, reached), SETTINGS).ingest(object_ids))


@pytest.fixture
def killed(database: FreshDatabase, tmp_path: Path) -> Landing:
    """What a worker leaves behind that was killed in the middle of a load; two small objects were its, too."""
    landing = Landing()
    large = msgspec.json.encode(customers(ROWS, revenue=2)) + b" " * 1_100_000
    seen = [
        landing.put("crm-data/large", large),
        landing.put("crm-data/small 1", [{"id": "s1", "name": "A"}]),
        landing.put("crm-data/small 2", [{"id": "s2", "name": "A"}]),
    ]
    waiting = discover(database.loader, seen)
    reached = tmp_path / "reached"
    process = multiprocessing.get_context("spawn").Process(
        target=work, args=(database.loader.conninfo(), landing, reached, waiting)
    )
    process.start()
    until(reached.exists)
    with admin(database) as connection:
        # In the middle: rows are written, and nobody sees them.
        assert connection.execute("SELECT count(*) FROM canonical.entities").fetchone() == (0,)
        assert connection.execute("SELECT DISTINCT state FROM ingest.objects").fetchall() == [("claimed",)]
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return landing


def test_what_a_killed_worker_held_is_taken_over_at_once(database: FreshDatabase, killed: Landing) -> None:
    with admin(database) as connection:
        # PostgreSQL notices by itself that its client is gone; the claims have fifteen minutes to go.
        until(lambda: connection.execute(f"SELECT FROM {ADVISORY_LOCKS}".encode()).rowcount == 0)
    outcomes = ingest(database.loader, killed, apart=True)
    assert {key: (outcome.state, outcome.inserted) for key, outcome in outcomes.items()} == {
        "crm-data/large": ("loaded", ROWS),
        "crm-data/small 1": ("loaded", 1),
        "crm-data/small 2": ("loaded", 1),
    }
    with admin(database) as connection:
        assert connection.execute("SELECT count(*), min(version), max(version) FROM canonical.entities").fetchone() == (
            *(ROWS + 2, 1, 1),
        )
        assert connection.execute("SELECT count(*) FROM canonical.entity_versions").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM canonical.entity_confirmations").fetchone() == (0,)
    assert ledger_row(database, "crm-data/large")["attempts"] == 2


# --- a server that goes away


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_between_any_two_statements_leaves_all_or_nothing(database: FreshDatabase, after: bool) -> None:
    landing = Landing()
    ingest(database.loader, landing, landing.put("crm-data/before", customers(3)))
    statement = 0
    finished = False
    while not finished:
        # New, changed, late and unchanged rows, and a bad one.
        rows: list[Any] = [{"id": f"new {statement}", "name": "A"}, *customers(2, revenue=statement + 2), {"id": "bad"}]
        rows.append(
            {"id": 2, "name": "Company 2", "revenue": 1, "updated_at": f"2024-01-01T00:00:{statement % 60:02}Z"}
        )
        seen = landing.put(f"crm-data/{statement}", rows, second=100 + statement)
        waiting = discover(database.loader, [seen])
        with admin(database) as connection:
            crashing = Crashing(database.loader, connection, statement, after=after)
            try:
                list(Worker(crashing, landing, SETTINGS).ingest(waiting))
                finished = crashing.statements_left >= 0
            except Transient:
                pass
            new = connection.execute(
                "SELECT FROM canonical.entities WHERE source_id = %s", (f"new {statement}",)
            ).rowcount
            rejected = connection.execute("SELECT FROM ingest.rejects WHERE object_id = %s", (seen.object_id,)).rowcount
        loaded = ledger_row(database, seen.key)["state"] == "loaded_with_rejects"
        assert new == rejected == loaded
        if not loaded:
            outcome = ingest(database.loader, landing)[seen.key]
            assert (outcome.state, outcome.inserted, outcome.rejected) == ("loaded_with_rejects", 1, 1)
        statement += 1
    assert statement > 15
    with admin(database) as connection:
        assert connection.execute("SELECT version FROM canonical.entities WHERE source_id = '0'").fetchone() == (
            statement + 1,
        )


def fail(database: FreshDatabase, errcode: str) -> None:
    """Let PostgreSQL refuse entities of the name `boom`."""
    with admin(database) as connection:
        connection.execute(
            f"""
            CREATE OR REPLACE FUNCTION boom() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF new.name = 'boom' THEN RAISE EXCEPTION 'boom' USING ERRCODE = '{errcode}'; END IF; RETURN new; END $$;
            CREATE OR REPLACE TRIGGER boom BEFORE INSERT ON canonical.entities FOR EACH ROW EXECUTE FUNCTION boom()
            """.encode()
        )


@pytest.mark.parametrize("large", [False, True])
def test_what_passes_by_itself_is_tried_again(
    database: FreshDatabase, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deadlock in the second of many micro-batches: what later statements say of the failed transaction is not the reason."""
    monkeypatch.setattr(limits, "CHUNK_RECORDS", 2 if large else 1000)
    monkeypatch.setattr(microbatches, "MICRO_BATCH_RECORDS", 2)
    landing = Landing()
    rows: list[Any] = customers(20)
    rows[3]["name"] = "boom"
    filler = b" " * 1_100_000 if large else b""
    seen = [
        landing.put("crm-data/boom", msgspec.json.encode(rows) + filler),
        landing.put("crm-data/good", customers(2)),
    ]
    fail(database, "40P01")
    outcomes = ingest(database.loader, landing, *seen)
    assert {key: outcome.state for key, outcome in outcomes.items()} == {"crm-data/good": "loaded"}
    row = ledger_row(database, "crm-data/boom")
    assert (row["state"], row["error_code"], row["attempts"]) == ("discovered", "database_busy", 1)
    for _ in range(4):
        ingest(database.loader, landing)
    row = ledger_row(database, "crm-data/boom")
    assert (row["state"], row["error_code"], row["attempts"]) == ("failed", "database_busy", 5)


def test_what_postgresql_refuses_fails_alone_and_says_nothing_of_the_data(database: FreshDatabase) -> None:
    landing = Landing()
    seen = [landing.put("crm-data/boom", [{"id": "b", "name": "boom"}]), landing.put("crm-data/good", customers(2))]
    fail(database, "22003")
    outcomes = ingest(database.loader, landing, *seen)
    assert {key: outcome.state for key, outcome in outcomes.items()} == {
        "crm-data/boom": "failed",
        "crm-data/good": "loaded",
    }
    row = ledger_row(database, "crm-data/boom")
    assert row["error_code"] == "refused_by_database"
    assert "boom" not in row["error_message"]
    assert "22003" in row["error_message"]


def test_a_statement_that_somebody_cancels_is_tried_again(database: FreshDatabase) -> None:
    landing = Landing()
    fail(database, "57014")
    assert ingest(database.loader, landing, landing.put("crm-data/boom", [{"id": 1, "name": "boom"}])) == {}
    assert ledger_row(database, "crm-data/boom")["state"] == "discovered"


def test_a_full_disk_of_postgresql_uses_no_attempt(database: FreshDatabase) -> None:
    landing = Landing()
    fail(database, "53100")
    boom = landing.put("crm-data/boom", [{"id": 1, "name": "boom"}])
    for _ in range(SETTINGS.ingest_max_attempts + 1):
        with pytest.raises(Transient):
            ingest(database.loader, landing, boom)
        row = ledger_row(database, "crm-data/boom")
        assert (row["state"], row["attempts"]) == ("discovered", 0)
    with admin(database) as connection:
        connection.execute("DROP TRIGGER boom ON canonical.entities")
    assert ingest(database.loader, landing)["crm-data/boom"].state == "loaded"


# --- claims


def claimed(database: FreshDatabase, landing: Landing, seen: ObjectSeen, seconds: int) -> Any:
    connection = database.loader.open(autocommit=True)
    connection.execute("SELECT pg_advisory_lock(hashtextextended('slow', 0))")
    ledger.discover(connection, [seen])
    (taken,) = ledger.claim(connection, [seen.object_id], worker="slow", run_id="r", seconds=seconds)

    def load() -> Any:
        answer = landing.get_object(Bucket=seen.bucket, Key=seen.key, VersionId=seen.version)
        modified_at: datetime = answer["LastModified"]
        opened = open_object(taken, ObjectPosition(taken.object_id, modified_at), answer["Body"])
        with connection:
            return Loader(connection, "slow").load_one(sources()["crm"], "entities", opened)

    return load


def test_a_claim_that_ran_out_is_void_and_its_worker_writes_nothing(database: FreshDatabase) -> None:
    landing = Landing()
    seen = landing.put("crm-data/a", customers(2))
    load = claimed(database, landing, seen, seconds=-1)
    assert ingest(database.loader, landing)["crm-data/a"].inserted == 2
    assert load() is None
    assert ledger_row(database, "crm-data/a")["state"] == "loaded"


def test_a_claim_that_is_held_is_respected(database: FreshDatabase) -> None:
    landing = Landing()
    seen = landing.put("crm-data/a", customers(2))
    load = claimed(database, landing, seen, seconds=100)
    assert ingest(database.loader, landing) == {}
    assert list(Worker(database.loader, landing, SETTINGS).ingest([seen.object_id])) == []
    assert load().state == "loaded"


def test_who_leaves_early_gives_back_what_was_not_tried(
    database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline_project.ingest.loading.worker.TOGETHER_OBJECTS", 1)
    landing = Landing()
    waiting = discover(database.loader, [landing.put(f"crm-data/{number}", customers(1)) for number in range(3)])
    outcomes = Worker(database.loader, landing, SETTINGS).ingest(waiting)
    done = next(outcomes)
    outcomes.close()
    with admin(database) as connection:
        found = connection.execute(
            "SELECT key, state, attempts FROM ingest.objects WHERE key <> %s", (done.key,)
        ).fetchall()
    assert [(state, attempts) for _, state, attempts in found] == [("discovered", 0)] * 2
    assert len(ingest(database.loader, landing)) == 2


def test_an_object_that_kills_its_workers_is_given_up_and_its_neighbours_load(database: FreshDatabase) -> None:
    landing = Landing()
    seen = [landing.put("crm-data/deadly", customers(1)), landing.put("crm-data/good", customers(2))]
    discover(database.loader, seen)
    with admin(database) as connection:
        # As five dead workers left it.
        connection.execute("""
            UPDATE ingest.objects SET state = 'claimed', attempts = 5, claimed_by = 'dead',
                claim_expires_at = now() + INTERVAL '1 hour' WHERE key = 'crm-data/deadly'""")
    outcomes = ingest(database.loader, landing)
    assert {key: outcome.state for key, outcome in outcomes.items()} == {
        "crm-data/deadly": "failed",
        "crm-data/good": "loaded",
    }
    assert ledger_row(database, "crm-data/deadly")["error_code"] == "gave_up"


# --- discovery and its neighbours


def test_discovery_does_not_wait_for_a_load(database: FreshDatabase) -> None:
    """An event that is delivered again, or late, while its object is being loaded for minutes."""
    landing = Landing()
    seen = landing.put("crm-data/a", customers(1))
    discover(database.loader, [seen])
    with admin(database) as loading, loading.transaction():
        loading.execute("SELECT FROM ingest.objects FOR UPDATE")
        with database.loader.connect() as connection:
            connection.execute("SET statement_timeout = '2s'")
            assert ledger.discover(connection, [seen, landing.put("crm-data/b", customers(1))]) != []


def test_an_event_after_a_listing_adds_its_sequencer(database: FreshDatabase) -> None:
    landing = Landing()
    event = landing.put("crm-data/a", customers(1))
    listing = ObjectSeen(
        bucket=event.bucket,
        key=event.key,
        version_id=event.version_id,
        etag="",
        size=event.size,
        discovered_by="listing",
    )
    with database.loader.connect() as connection:
        assert ledger.discover(connection, [listing]) == [event.object_id]
        assert ledger.discover(connection, [event]) == []
        assert ledger.discover(connection, [listing]) == []
    row = ledger_row(database, "crm-data/a")
    assert (row["sequencer"], row["discovered_by"]) == (event.sequencer, "listing")


def test_discoveries_at_the_same_time_do_not_wait_for_each_other_for_ever(database: FreshDatabase) -> None:
    landing = Landing()
    seen = [landing.put(f"crm-data/{number}", customers(1)) for number in range(300)]
    errors: list[Exception] = []

    def run(some: list[ObjectSeen]) -> None:
        try:
            with database.loader.connect() as connection:
                for begin in range(0, len(some), 50):
                    ledger.discover(connection, some[begin : begin + 50])
                    connection.commit()
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(some,)) for some in (seen, seen[::-1], seen[::3] + seen, seen[::-2])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with admin(database) as connection:
        assert connection.execute("SELECT count(*) FROM ingest.objects").fetchone() == (300,)


# --- storage


class FailingLanding(Landing):
    """Fails as told, as often as told."""

    def __init__(self, error: Exception, times: int) -> None:
        super().__init__()
        self._error = error
        self._times = times

    def get_object(self, **which: Any) -> dict[str, Any]:
        self._times -= 1
        if self._times >= 0:
            raise self._error
        return super().get_object(**which)


NETWORK = EndpointConnectionError(endpoint_url="http://s3")


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "GetObject")


@pytest.mark.parametrize(
    "error", [NETWORK, client_error("SlowDown"), client_error("InternalError"), ConnectionResetError()]
)
def test_storage_that_is_away_is_asked_again(database: FreshDatabase, error: Exception) -> None:
    landing = FailingLanding(error, 2)
    assert ingest(database.loader, landing, landing.put("crm-data/a", customers(1))) == {}
    row = ledger_row(database, "crm-data/a")
    assert (row["state"], row["error_code"], row["attempts"]) == ("discovered", "storage", 1)
    ingest(database.loader, landing)
    assert ingest(database.loader, landing)["crm-data/a"].state == "loaded"
    assert ledger_row(database, "crm-data/a")["error_code"] is None


def test_storage_that_stays_away_fails_the_object(database: FreshDatabase) -> None:
    landing = FailingLanding(NETWORK, 100)
    ingest(database.loader, landing, landing.put("crm-data/a", customers(1)))
    for _ in range(5):
        ingest(database.loader, landing)
    row = ledger_row(database, "crm-data/a")
    assert (row["state"], row["error_code"], row["attempts"]) == ("failed", "storage", 5)


def test_a_file_that_asks_for_more_memory_than_there_is_fails_alone(database: FreshDatabase) -> None:
    landing = FailingLanding(MemoryError(), 100)
    assert ingest(database.loader, landing, landing.put("crm-data/a", customers(1)))["crm-data/a"].state == "failed"
    row = ledger_row(database, "crm-data/a")
    assert (row["state"], row["error_code"], row["attempts"]) == ("failed", "out_of_memory", 1)


def test_what_is_loaded_one_by_one_after_a_batch_was_opened_once(
    database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loader, "load_many", lambda *_: 1 / 0)
    landing = Landing()
    ingest(database.loader, landing, *(landing.put(f"crm-data/{number}", customers(1)) for number in range(5)))
    with admin(database) as connection:
        found = connection.execute("SELECT DISTINCT state, attempts, opened_with FROM ingest.objects").fetchall()
    assert found == [("loaded", 1, None)]


@pytest.mark.parametrize(
    ("code", "state", "error"),
    [
        ("NoSuchKey", "failed", "gone"),
        ("NoSuchVersion", "failed", "gone"),
        ("404", "failed", "gone"),
        ("PreconditionFailed", "superseded", "overwritten"),
    ],
)
def test_what_is_not_there_any_more(database: FreshDatabase, code: str, state: str, error: str) -> None:
    landing = FailingLanding(client_error(code), 100)
    good = Landing()
    outcomes = ingest(database.loader, landing, landing.put("crm-data/a", customers(1)))
    assert outcomes["crm-data/a"].state == state
    assert ledger_row(database, "crm-data/a")["error_code"] == error
    assert ingest(database.loader, good, good.put("crm-data/b", customers(1)))["crm-data/b"].state == "loaded"
