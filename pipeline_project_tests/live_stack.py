"""The whole platform in a folder of its own, started as a person starts it: `pipeline local up`, and what is asked of it.

For tests, benchmarks, the soak and the screenshots; so it needs no pytest.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from pipeline_project.aws import client
from pipeline_project.errors import Transient
from pipeline_project.local.deployment import build_bundle
from pipeline_project.local.http_json import request
from pipeline_project.local.postgres import free_port
from pipeline_project.local.state import State
from pipeline_project.local.supervision import call, end_leftovers
from pipeline_project.settings import Settings

PIPELINE_LOCAL = (sys.executable, "-c", "from pipeline_project.cli.local import app; app()")
SECONDS = 90
FRONTEND = "http://frontend.example"
"""A foreign origin that may call the REST facade of a live stack."""
READY = "Ctrl-C"
"""What `up` says when everything is there."""
LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILLED = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status } ... on PythonError { message } } }"""
BACKFILL_SECONDS = 300
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


class Console:
    """A running `pipeline local up` and what it has written so far. All of it is read at once, since a full pipe would
    stop it."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*PIPELINE_LOCAL, "up", *options],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._seen, self._ended = 0, False
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._said:
                self.lines.append(line)
                self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()

    def read_until(self, text: str) -> None:
        """The next line that holds the text; it is read from there the next time."""
        with self._said:
            while True:
                self._said.wait_for(lambda: self._ended or len(self.lines) > self._seen)
                assert len(self.lines) > self._seen, f"it ended without {text!r}:\n{''.join(self.lines)}"
                self._seen += 1
                if text in self.lines[self._seen - 1]:
                    return

    def end(self, number: signal.Signals) -> int:
        """Send the signal; the exit status."""
        self.process.send_signal(number)
        self.process.wait(SECONDS)
        self._reader.join()
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


class LiveStack:
    """A platform that serves, and what a person would look at."""

    def __init__(self, state: State, console: Console) -> None:
        """`console` is of the process that started it all."""
        self.state = state
        self.console = console
        self.settings = settings_of(state)

    @cached_property
    def s3(self) -> Any:
        return client(self.settings, "s3")

    def upload(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket=self.settings.landing_bucket, Key=key, Body=content)

    def sql(self, statement: bytes, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """As the owner, in a transaction of its own."""
        return sql(self.state, statement, parameters)

    def graphql(self, query: str, **variables: Any) -> Any:
        """What the web UI would be answered: the one field that the query asks for."""
        answer = request("POST", f"{self.settings.dagster_url}/graphql", {"query": query, "variables": variables}).body
        assert "errors" not in answer, answer
        [found] = answer["data"].values()
        return found

    def launch(self, job: str, **more: Any) -> str:
        """Start a run of a job; its id."""
        selector = {"repositoryName": "__repository__", "repositoryLocationName": "pipeline_project", "jobName": job}
        found = self.graphql(LAUNCH, p={"selector": {**selector, **more.pop("selector", {})}, **more})
        assert found["__typename"] == "LaunchRunSuccess", found
        return found["run"]["runId"]

    def status(self, run_id: str) -> str:
        return self.graphql(RUN, id=run_id)["status"]

    def ended(self, run_id: str) -> str:
        """The run's status once it is at an end."""
        return until(lambda: (status := self.status(run_id)) in ("SUCCESS", "FAILURE", "CANCELED") and status)

    def backfill(self, assets: Sequence[str], partitions: Sequence[str]) -> None:
        """Materialize these partitions of the assets; returns when all are."""
        selection = [{"path": [asset]} for asset in assets]
        started = self.graphql(BACKFILL, p={"assetSelection": selection, "partitionNames": partitions})
        assert started["__typename"] == "LaunchBackfillSuccess", started
        backfill_id = started["backfillId"]
        until(lambda: self.graphql(BACKFILLED, id=backfill_id)["status"] == "COMPLETED_SUCCESS", BACKFILL_SECONDS)

    def pids(self) -> dict[str, int]:
        """Of the parts that run."""
        return {info["name"]: info["pid"] for info in call(self.state, "getAllProcessInfo") if info["pid"]}


def prepare(folder: Path, bundle: Path) -> State:
    """A state folder whose ports are nobody else's; the function's bundle is built at `bundle` unless it is there."""
    state = State(folder / ".pipeline")
    state.folder.mkdir(mode=0o700, parents=True)
    build_bundle(bundle)
    shutil.copy(bundle, state.bundle)
    ports = {part: free_port() for part in ("dagster", "aws", "postgres")}
    (state.folder / "ports.json").write_text(json.dumps(ports), "utf-8")
    return state


@contextmanager
def live_stack(folder: Path, bundle: Path, *options: str) -> Iterator[LiveStack]:
    """A platform in an empty folder, stopped at the end. `options` are those of `pipeline local up`."""
    state = prepare(folder, bundle)
    console = Console(folder, *options, PIPELINE_API_ALLOWED_ORIGINS=FRONTEND)
    try:
        console.read_until(READY)
        yield LiveStack(state, console)
        console.end(signal.SIGTERM)
    finally:
        console.kill()
        end_leftovers(state)


def settings_of(state: State) -> Settings:
    pairs = (line.split("=", 1) for line in state.stack_environment.read_text("utf-8").splitlines())
    return Settings.load(dict(pairs))


def sql(state: State, statement: bytes, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    with psycopg.connect(state.psql_conninfo("owner")) as connection:
        cursor = connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def until(condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What the condition gives once it holds. That a part is away just now is no answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := condition():
                return found
        except (Transient, OSError, BotoCoreError, ClientError, psycopg.OperationalError):
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)
