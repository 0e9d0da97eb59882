"""Files that end, fill or block the process that reads them: their neighbours load, and they fail with a reason.

Real workers in real processes, objects in S3, and batches given as the landing sensors give them.
"""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg.rows import dict_row

from pipeline_project.child_process import ChildDied, Stopped, run_apart
from pipeline_project.errors import Permanent, Transient
from pipeline_project.ingest import ledger
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.discovery.landing import list_all
from pipeline_project.ingest.inspection.previews import preview_apart
from pipeline_project.ingest.ledger.batches import Batch, LiveRuns, assign
from pipeline_project.ingest.loading.suspects import Suspects, explain_death
from pipeline_project.ingest.loading.worker import Worker
from pipeline_project.services import Services
from pipeline_project.settings import Settings
from pipeline_project_tests import misbehaving
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.misbehaving import content

MEMORY = 400 * 1024 * 1024
LARGE = 1_100_000
"""Bytes from which an object is opened by itself."""
SPAWN = multiprocessing.get_context("spawn")

pytestmark = pytest.mark.timeout(300)


class Runs:
    """Gives what waits to runs, each a process, until nothing waits; like sensors and run workers."""

    def __init__(self, platform: Services, settings: Settings) -> None:
        self._loader = platform.loader
        self._settings = settings
        self._active: dict[str, tuple[Batch, SpawnProcess]] = {}
        self.died: list[int | None] = []
        """Exit codes of the runs that did not end well."""

    def work(self, seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        try:
            with self._loader.connect() as connection:
                while self._step(connection):
                    assert time.monotonic() < deadline, self.died
                    time.sleep(0.05)
        finally:
            for _, process in self._active.values():  # one that loops would go on after the test
                process.kill()

    def _step(self, connection: psycopg.Connection[Any]) -> bool:
        for name, (_, process) in list(self._active.items()):
            if not process.is_alive():
                process.join()
                del self._active[name]
                self.died += [process.exitcode] if process.exitcode else []
        batches, waits = assign(connection, self._settings, self._living, 1)
        for batch in batches:
            arguments = (self._loader.conninfo(), self._settings, batch.object_ids)
            process = SPAWN.Process(target=misbehaving.run, args=arguments, daemon=True)
            process.start()
            self._active[batch.id] = (batch, process)
        return waits or bool(self._active)

    def _living(self) -> LiveRuns:
        counts: dict[bool, dict[str, int]] = {False: {}, True: {}}
        for batch, _ in self._active.values():
            counts[batch.suspects][batch.source] = counts[batch.suspects].get(batch.source, 0) + 1
        return LiveRuns(list(self._active), counts[False], counts[True])


@pytest.fixture
def quick(settings: Settings) -> Settings:
    return msgspec.structs.replace(
        settings,
        ingest_object_seconds=3,
        ingest_object_seconds_per_megabyte=1,
        ingest_suspect_memory_bytes=MEMORY,
        ingest_max_attempts=2,
    )


def upload(platform: Services, objects: dict[str, bytes]) -> None:
    bucket = platform.settings.landing_bucket
    for key, data in objects.items():
        platform.s3.put_object(Bucket=bucket, Key=key, Body=data)
    with platform.loader.connect() as connection:
        list_all(connection, platform.s3, bucket)


def good(number: int, size: int = 0) -> bytes:
    return json.dumps([{"customer_id": f"c{number}", "company_name": f"Company {number}"}]).encode().ljust(size)


def rows(database: FreshDatabase) -> dict[str, dict[str, Any]]:
    with psycopg.connect(database.admin) as connection, connection.cursor(row_factory=dict_row) as cursor:
        return {row["key"]: row for row in cursor.execute("SELECT * FROM ingest.objects")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "code", "reason", "size"),
    [
        ("abort", "crashed", "SIGABRT", 0),
        ("kill", "crashed", "SIGKILL", LARGE),
        ("eat", "out_of_memory", f"{MEMORY:,} bytes", 0),
        ("loop", "took_too_long", "seconds", LARGE),
        ("sleep", "took_too_long", "seconds", 0),
    ],
)
def test_only_the_file_that_ends_its_process_fails(
    platform: Services, database: FreshDatabase, quick: Settings, action: str, code: str, reason: str, size: int
) -> None:
    before = {f"crm-data/{number}.json": good(number, size) for number in (1, 2, 3)}
    after = {f"crm-data/{number}.json": good(number, size) for number in (7, 8, 9)}
    upload(platform, {**before, "crm-data/5.json": content(action, size), **after})
    runs = Runs(platform, quick)
    runs.work()
    found = rows(database)
    bad = found.pop("crm-data/5.json")
    assert {row["state"] for row in found.values()} == {"loaded"}
    assert {row["attempts"] for row in found.values()} == {1}
    assert (bad["state"], bad["error_code"], bad["attempts"]) == ("failed", code, quick.ingest_max_attempts)
    assert reason in bad["error_message"]
    # It ended one run, and after that only processes of its own.
    assert len(runs.died) == 1
    with psycopg.connect(database.admin) as connection:
        assert connection.execute("SELECT count(*), max(version) FROM canonical.entities").fetchone() == (6, 1)


def test_a_suspect_that_is_innocent_loads_and_is_none_any_more(
    platform: Services, database: FreshDatabase, settings: Settings
) -> None:
    upload(platform, {"crm-data/1.json": good(1), "crm-data/2.json": content("exit"), "crm-data/3.json": good(3)})
    runs = Runs(platform, msgspec.structs.replace(settings, ingest_max_attempts=1))
    runs.work()
    assert runs.died == [7]
    found = rows(database)
    assert {key: (row["state"], row["attempts"], row["suspect"]) for key, row in found.items()} == {
        "crm-data/1.json": ("loaded", 1, False),
        "crm-data/2.json": ("failed", 1, True),
        "crm-data/3.json": ("loaded", 1, False),
    }
    assert "exit code 7" in found["crm-data/2.json"]["error_message"]
    # A replay keeps the suspicion, so the file does not end another run.
    with platform.loader.connect() as connection:
        ledger.replay(connection, [found["crm-data/2.json"]["object_id"]])
    runs.work()
    assert runs.died == [7]
    assert rows(database)["crm-data/2.json"]["state"] == "failed"


def test_what_arrives_meanwhile_does_not_wait_for_a_suspect(
    platform: Services, database: FreshDatabase, settings: Settings
) -> None:
    """The suspect would sleep for an hour in its own process, and neither its run nor its turn keeps others waiting."""
    upload(platform, {"crm-data/bad.json": content("sleep")})
    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute("UPDATE ingest.objects SET suspect = true")
    with platform.loader.connect(autocommit=True) as connection:
        [batch], _ = assign(connection, settings, LiveRuns, 1)
        assert batch.suspects
        process = SPAWN.Process(
            target=misbehaving.run, args=(platform.loader.conninfo(), settings, batch.object_ids), daemon=True
        )
        process.start()
        await_opened(database)
        upload(platform, {"crm-data/good.json": good(1)})
        [other], _ = assign(connection, settings, lambda: LiveRuns([batch.id], {}, {"crm": 1}), 1)
        assert not other.suspects
        [outcome] = Worker(platform.loader, platform.s3, settings).ingest(other.object_ids)
        assert outcome.state == "loaded"
    process.kill()
    process.join()


def await_opened(database: FreshDatabase, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not any(row["opened_with"] for row in rows(database).values()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_who_stops_gives_back_what_its_suspects_have_open(
    platform: Services, database: FreshDatabase, settings: Settings
) -> None:
    upload(platform, {"crm-data/bad.json": content("sleep")})
    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute("UPDATE ingest.objects SET suspect = true")
    with platform.loader.connect(autocommit=True) as connection:
        [waiting] = ledger.waiting(connection, 10)
        [claimed] = ledger.claim(connection, [waiting.object_id], worker="w", run_id=None, seconds=60)
        ledger.release(connection, worker="w")
    with Suspects(platform.loader, settings, misbehaving.load_apart, worker="w", run_id=None) as suspects:
        suspects.start([claimed])
        await_opened(database)
    [row] = rows(database).values()
    assert (row["state"], row["attempts"], row["suspect"]) == ("discovered", 0, True)


def test_a_check_of_a_file_that_ends_its_process_says_so(
    platform: Services, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline_project.ingest.inspection.previews._preview", abort_as_preview)
    file = tmp_path / "file.json"
    file.write_bytes(good(1))
    found = preview_apart(platform.loader, settings, file, "crm-data/file.json")
    assert found.outcome.fault is not None
    assert (found.outcome.state, found.outcome.fault.code) == ("failed", "crashed")


def test_a_check_in_a_process_of_its_own_counts_and_refuses_as_before(
    platform: Services, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(good(1))
    assert preview_apart(platform.loader, settings, file, "crm-data/file.json").outcome.inserted == 1
    with pytest.raises(Permanent, match="no source is registered"):
        preview_apart(platform.loader, settings, file, "hr-data/file.json")
    file.write_bytes(b'{"records": [')
    fault = preview_apart(platform.loader, settings, file, "crm-data/file.json").outcome.fault
    assert fault is not None
    assert (fault.code, fault.line) == ("truncated", 1)


def abort_as_preview(*_arguments: Any) -> None:
    os.abort()


# --- a process of its own


def test_a_function_runs_apart_and_what_it_prints_is_no_answer() -> None:
    assert run_apart(misbehaving.double, 21, memory=MEMORY) == 42


def test_a_process_apart_is_the_first_to_go_when_memory_runs_out() -> None:
    assert run_apart(misbehaving.out_of_memory_score, memory=MEMORY) == 1_000


@pytest.mark.parametrize(
    "reason", [Transient("PostgreSQL is away"), ObjectFault("truncated", "ends too early", line=3, column=4)]
)
def test_what_a_function_raises_apart_is_raised_here(reason: Exception) -> None:
    with pytest.raises(type(reason)) as raised:
        run_apart(misbehaving.refuse, reason, memory=MEMORY)
    assert vars(raised.value) == vars(reason)
    assert str(raised.value) == str(reason)


@pytest.mark.parametrize(
    ("action", "how"),
    [
        ("abort", "was ended by the signal SIGABRT"),
        ("segfault", "was ended by the signal SIGSEGV"),
        ("exit", "ended with exit code 7"),
    ],
)
def test_a_process_that_dies_is_told_from_one_that_answers(action: str, how: str) -> None:
    with pytest.raises(ChildDied) as died:
        run_apart(misbehaving.misbehave, action, memory=MEMORY)
    assert died.value.how == how
    assert explain_death(died.value, 60).code == "crashed"


def test_a_process_apart_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    stop = threading.Event()
    answered = tmp_path / "answered"

    def stop_then() -> None:
        while not answered.exists():
            time.sleep(0.02)
        stop.set()

    threading.Thread(target=stop_then, daemon=True).start()
    with pytest.raises(Stopped):
        run_apart(misbehaving.double, 1, answered, memory=MEMORY, stop=stop)


def wait_apart(answered: Path) -> None:
    run_apart(misbehaving.double, 1, answered, memory=MEMORY)


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[tuple[SpawnProcess, Path]]:
    answered = tmp_path / "answered"
    process = SPAWN.Process(target=wait_apart, args=(answered,), daemon=True)
    process.start()
    yield process, answered
    process.kill()
    process.join()


def test_a_process_apart_dies_with_its_caller(caller: tuple[SpawnProcess, Path]) -> None:
    process, answered = caller
    while not answered.exists():
        time.sleep(0.02)
    assert process.pid is not None
    [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii").split()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    deadline = time.monotonic() + 120
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text("ascii").split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
