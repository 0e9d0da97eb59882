"""A Dagster instance of one test's own with a worker server, and what the web UI would ask of it: real processes."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster_graphql.cli import execute_query

from pipeline_project.orchestration.workers.protocol import WorkersUnavailable, ask

MODULE = "pipeline_project_tests.warm_definitions"
ROOT = Path(__file__).parent.parent
SECONDS = 60
YAML = """
run_launcher:
  module: pipeline_project.orchestration.workers.launcher
  class: WarmRunLauncher
  config: { socket: %s }
run_coordinator: { module: dagster._core.run_coordinator, class: DefaultRunCoordinator }
run_monitoring: { enabled: true }
telemetry: { enabled: false }
"""
LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message stack } } }"""
AGAIN = """mutation($p: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message stack } } }"""
TERMINATE = "mutation($id: String!) { terminateRun(runId: $id) { __typename ... on PythonError { message } } }"


class Workers:
    """The worker server as a process, and the instance whose runs it takes."""

    def __init__(self, folder: Path, code_server: Path, address: str | None = None) -> None:
        self.socket = folder / "w.sock"
        self.address = address or str(self.socket)
        self._home = folder
        self._log = folder / "server.log"
        (folder / "dagster.yaml").write_text(YAML % json.dumps(self.address), "utf-8")
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()
        self.instance: dg.DagsterInstance = self._stack.enter_context(dg.DagsterInstance.from_config(str(folder)))
        target = GrpcServerTarget(host="localhost", port=None, socket=str(code_server), location_name="here")
        self._workspace = self._stack.enter_context(WorkspaceProcessContext(self.instance, target))

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self) -> None:
        command = [sys.executable, "-m", "pipeline_project.orchestration.workers.server"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, self.address, str(self._home), MODULE], cwd=ROOT, stdout=log, stderr=log
            )
        self.until(self._answers)

    def _answers(self) -> bool:
        try:
            return not ask(self.address, {"ask": "health", "run_id": "none"})["alive"]
        except WorkersUnavailable:
            return False

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def ask_to_end(self) -> "subprocess.Popen[bytes]":
        assert self._process
        self._process.terminate()
        return self._process

    def close(self) -> None:
        if self._process and self._process.poll() is None:
            self.kill()
        self._stack.close()

    def log(self) -> str:
        return self._log.read_text("utf-8")

    def until(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + SECONDS
        while not (found := condition()):
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        return found

    # --- what the web UI asks

    def ask(self, query: str, **variables: Any) -> Any:
        answer: Any = execute_query(self._workspace, query, variables)
        assert "errors" not in answer, answer
        [found] = answer["data"].values()
        return found

    def launch(self, job: str, **tags: str) -> str:
        selector = {"repositoryName": "__repository__", "repositoryLocationName": "here", "jobName": job}
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        found = self.ask(LAUNCH, p={"selector": selector, "executionMetadata": {"tags": listed}})
        assert found["__typename"] == "LaunchRunSuccess", found.get("message")
        return found["run"]["runId"]

    def launch_again(self, run_id: str) -> str:
        found = self.ask(AGAIN, p={"parentRunId": run_id, "strategy": "ALL_STEPS"})
        assert found["__typename"] == "LaunchRunSuccess", found.get("message")
        return found["run"]["runId"]

    def terminate(self, run_id: str) -> str:
        return self.ask(TERMINATE, id=run_id)["__typename"]

    def run(self, run_id: str) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        assert found
        return found

    def ended(self, run_id: str) -> dg.DagsterRun:
        self.until(lambda: self.run(run_id).is_finished)
        return self.run(run_id)

    def executed(self, job: str, **tags: str) -> dg.DagsterRun:
        """A run of the job that was launched and has ended well."""
        run = self.ended(self.launch(job, **tags))
        assert run.is_success, self.messages(run.run_id)
        return run

    def messages(self, run_id: str) -> list[str]:
        return [entry.user_message or entry.message for entry in self.instance.all_logs(run_id)]

    def metadata(self, run_id: str) -> dict[str, Any]:
        """Of the output of `speak`."""
        for entry in self.instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_OUTPUT):
            event = entry.get_dagster_event()
            return {name: value.value for name, value in event.step_output_data.metadata.items()}
        raise AssertionError(self.messages(run_id))

    def worker(self, run_id: str) -> int:
        """The process that executes a run."""

        def pid() -> int | None:
            for message in self.messages(run_id):
                if message.startswith("Started process for run (pid: "):
                    return int(message.removeprefix("Started process for run (pid: ").rstrip(")."))
            return None

        return self.until(pid)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="session")
def code_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a code server with the jobs of warm_definitions."""
    folder = tmp_path_factory.mktemp("code")
    socket = folder / "s"
    command = [sys.executable, "-m", "dagster", "api", "grpc", "-m", MODULE, "-s", str(socket)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + SECONDS
            while not socket.exists():
                assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text("utf-8")
                time.sleep(0.05)
            yield socket
        finally:
            process.kill()


@pytest.fixture
def workers(tmp_path: Path, code_server: Path) -> Iterator[Workers]:
    found = Workers(tmp_path, code_server)
    found.start()
    yield found
    found.close()


@pytest.fixture
def remote_workers(tmp_path: Path, code_server: Path) -> Iterator[Workers]:
    """As on AWS, where the server is reached over the network."""
    with socket.socket() as reserved:
        # Nobody else is given the port; and as it is not listened at, the server may bind to it, too.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        found = Workers(tmp_path, code_server, f"localhost:{reserved.getsockname()[1]}")
        found.start()
        yield found
        found.close()
