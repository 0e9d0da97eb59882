"""`pipeline local …` as a person uses it, in a folder of its own: everything starts, survives `kill -9`, and ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pipeline_project.aws import client
from pipeline_project.local.http_json import request
from pipeline_project.local.postgres import HOST
from pipeline_project.local.state import State
from pipeline_project.local.supervision import call, end_leftovers, leftovers
from pipeline_project.settings import Settings
from pipeline_project_tests.live_stack import PIPELINE_LOCAL, SECONDS, Console, prepare, settings_of, sql, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PARTS = {"postgres", "aws", "code-server", "run-workers", "dagster-webserver", "dagster-daemon"}
FILES, CUSTOMERS = 20, 5_000
CLAIMED = b"SELECT count(*) FROM ingest.objects WHERE key LIKE 'crm-data/load/%' AND state NOT IN ('discovered')"
LOADED = b"SELECT count(*), sum(inserted) FROM ingest.objects WHERE key LIKE 'crm-data/load/%' AND state = 'loaded'"
CUSTOMERS_KEPT = b"SELECT count(*), max(version) FROM canonical.entities WHERE source = 'crm'"


@pytest.fixture
def state(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    """A folder whose ports are nobody else's, whatever runs on this machine, and where the bundle is built already."""
    state = prepare(tmp_path, tmp_path_factory.getbasetemp() / "api.zip")
    yield state
    end_leftovers(state)


@contextmanager
def up(state: State) -> Iterator[Console]:
    console = Console(state.folder.parent)
    try:
        yield console
    finally:
        console.kill()


def pipeline_local(state: State, *arguments: str) -> "subprocess.CompletedProcess[str]":
    folder = state.folder.parent
    return subprocess.run([*PIPELINE_LOCAL, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def health(state: State) -> int:
    """The status of `pipeline health`, which finds the platform by its folder."""
    command = [sys.executable, "-c", "from pipeline_project.cli.main import main; main()", "health"]
    return subprocess.run(command, cwd=state.folder.parent, check=False).returncode


def pids(state: State) -> dict[str, int]:
    return {info["name"]: info["pid"] for info in call(state, "getAllProcessInfo") if info["name"] in PARTS}


def all_is_there(state: State) -> bool:
    """Every part serves, and knows what was given to it."""
    settings = settings_of(state)
    with closing(client(settings, "s3")) as s3:
        kept = s3.get_object(Bucket=settings.landing_bucket, Key="crm-data/kept by us.json")["Body"].read()
    return (
        sql(state, b"SELECT n FROM public.kept") == [(1,)]
        and kept == b"[]"
        and request("GET", f"{settings.api_url}/health").status == 200
        and request("GET", f"{settings.dagster_url}/server_info").status == 200
        and set(pids(state)) == PARTS
        and all(pids(state).values())
    )


def upload_customers(settings: Settings) -> None:
    with closing(client(settings, "s3")) as s3:
        for file in range(FILES):
            records = [
                {"customer_id": f"{file}-{number}", "company_name": "A company", "annual_revenue": number}
                for number in range(CUSTOMERS)
            ]
            s3.put_object(
                Bucket=settings.landing_bucket, Key=f"crm-data/load/{file}.json", Body=json.dumps(records).encode()
            )


def test_everything_survives_being_killed(state: State) -> None:
    taken = json.loads((state.folder / "ports.json").read_bytes())["dagster"]
    with socket.socket() as taker:
        taker.bind((HOST, taken))
        taker.listen()
        with up(state) as console:
            console.read_until("Ctrl-C")
            settings = settings_of(state)
            assert any(f"port {taken} is taken" in line for line in console.lines)
            assert settings.dagster_url != f"http://{HOST}:{taken}"

            with closing(client(settings, "s3")) as s3:
                s3.put_object(Bucket=settings.landing_bucket, Key="crm-data/kept by us.json", Body=b"[]")
            sql(state, b"CREATE TABLE public.kept AS SELECT 1 AS n")
            assert all_is_there(state)

            # A second one is refused, and says where the first is; the other commands find it.
            second = pipeline_local(state, "up")
            assert second.returncode == 1
            assert f"process {console.process.pid}" in second.stdout
            assert settings.dagster_url in second.stdout
            assert all(part in pipeline_local(state, "status").stdout for part in PARTS)
            assert pipeline_local(state, "psql", "-Atc", "SELECT current_user").stdout == "pipeline_reader\n"

            # Nobody is left to stop the parts in order: they end by themselves or by the next start.
            console.process.kill()

    with up(state) as console:
        console.read_until("Ctrl-C")
        assert settings_of(state) == settings
        assert all_is_there(state)
        assert health(state) == 0

        # All parts at once, in the middle of a load; then who looks after them.
        upload_customers(settings)
        until(lambda: sql(state, CLAIMED) != [(0,)])
        before = pids(state)
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        until(lambda: all_is_there(state) and not set(before.values()) & set(pids(state).values()))
        os.kill(call(state, "getPID"), signal.SIGKILL)
        console.read_until("supervisord died")
        until(lambda: all_is_there(state))
        until(lambda: sql(state, LOADED) == [(FILES, FILES * CUSTOMERS)])
        assert sql(state, CUSTOMERS_KEPT) == [(FILES * CUSTOMERS, 1)]

        assert pipeline_local(state, "stop").returncode == 0
        assert console.process.wait(SECONDS) == 0
    assert leftovers(state) == []
    assert not state.sockets.exists()
    assert pipeline_local(state, "status").returncode == 3


def test_it_can_be_stopped_while_it_starts(state: State) -> None:
    with up(state) as console:
        console.read_until("PostgreSQL at")
        assert console.end(signal.SIGINT) == 130
        assert leftovers(state) == []
        assert "Stopped" in console.lines[-1]


def test_a_part_that_cannot_start_is_named(state: State) -> None:
    (state.folder / "aws").write_text("a file where a folder should be", "utf-8")
    with up(state) as console:
        console.read_until("aws does not stay up")
        assert console.process.wait(SECONDS) == 1
        assert leftovers(state) == []


def test_a_port_that_is_taken_while_it_starts_is_left_to_the_other_program(state: State) -> None:
    ports = json.loads((state.folder / "ports.json").read_bytes())
    with socket.socket() as taker, up(state) as console:
        # The webserver starts only after that, and takes seconds until it listens.
        console.read_until("PostgreSQL at")
        taker.bind((HOST, ports["dagster"]))
        taker.listen()
        console.read_until(f"port {ports['dagster']} of dagster-webserver is taken by process {os.getpid()}")
        console.read_until(f"port {ports['dagster']} is taken by another program: dagster is on")
        console.read_until("Ctrl-C")
        settings = settings_of(state)
        assert settings.dagster_url != f"http://{HOST}:{ports['dagster']}"
        assert settings.aws_endpoint_url == f"http://{HOST}:{ports['aws']}"
        assert request("GET", f"{settings.dagster_url}/server_info").status == 200
        assert console.end(signal.SIGTERM) == 0
    assert leftovers(state) == []


def test_the_wait_for_a_part_can_be_bounded(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_LOCAL_START_TIMEOUT_SECONDS", "0.001")
    with up(state) as console:
        console.read_until("took more than 0.001 s")
        assert console.process.wait(SECONDS) == 1
        assert leftovers(state) == []
