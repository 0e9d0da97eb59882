"""Starts and stops the whole platform on one machine: its parts, their order, and the checks that they are ready."""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml

from pipeline_project import plugins
from pipeline_project.analytics.catalogue import operations
from pipeline_project.canonical.checks import checks
from pipeline_project.errors import PipelineError, Transient
from pipeline_project.local import deployment, die_with_parent, disk
from pipeline_project.local.console import GivenUp, StepConsole
from pipeline_project.local.http_json import Answer, request
from pipeline_project.local.postgres import HOST, PostgresServer
from pipeline_project.local.state import State
from pipeline_project.local.supervision import PortTaken, Program, Supervisor, end_leftovers
from pipeline_project.settings import Settings
from pipeline_project.sources.registry import sources

WORKERS = "pipeline_project.orchestration.workers.server"
TABLES = "pipeline_project.orchestration.compatibility.dagster_tables"
DEFINITIONS = "pipeline_project.definitions"
WORKSPACE = deployment.ROOT / "workspace.yaml"
DAGSTER_YAML = [deployment.ROOT / "deploy" / "dagster" / name for name in ("instance.yaml", "local.yaml")]
WARM = "run-workers"
DAGSTER_PROGRAMS = ("dagster-daemon", "dagster-webserver", WARM, "code-server")
ANSWER_SECONDS = 15
REST_SECONDS = 0.5
REST_ANSWERS = 40
"""Number of error responses of the REST facade after which the start fails. A time would be too short on a slow machine."""
PORT_ATTEMPTS = 5
WATCH_SECONDS = 2
T = TypeVar("T")
LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries { loadStatus locationOrLoadError {
    __typename ... on PythonError { message } } } } ... on PythonError { message } } }"""


class Stack:
    """The parts of the platform for one state folder. The caller has locked the folder, and calls from the main thread.

    Processes of an earlier run must be ended before, because they use the ports.
    """

    def __init__(
        self,
        state: State,
        console: StepConsole,
        binaries: Path,
        definitions: str = DEFINITIONS,
        *,
        stock: bool = False,
        ready_seconds: float | None = None,
        allowed_origins: str = "",
    ) -> None:
        """`stock`: use Dagster's own launcher, queue and storage, and sensors without long polling.

        `ready_seconds`: the longest wait for a part that starts. None: wait as long as its process runs.
        `allowed_origins`: origins whose pages may call the REST facade, separated by commas.
        """
        self._state = state
        self._console = console
        self._definitions = definitions
        self._stock = stock
        self._dagster_programs = [name for name in DAGSTER_PROGRAMS if not (stock and name == WARM)]
        self._passwords = state.passwords()
        self._binaries = binaries
        self._ready_seconds = ready_seconds
        self._allowed_origins = allowed_origins
        self._stopping = threading.Event()
        self._supervisor: Supervisor | None = None
        self._disk_trouble: str | None = None
        self._failing: set[str] = set()
        self._choose_ports()

    def _choose_ports(self) -> None:
        self._ports, moves = self._state.ports()
        for move in moves:
            self._console.note(move)
        self.server = PostgresServer(self._binaries, self._state.postgres, self._ports["postgres"])
        self.endpoint = f"http://{HOST}:{self._ports['aws']}"
        self.dagster_url = f"http://{HOST}:{self._ports['dagster']}"

    def _programs(self) -> list[Program]:
        """Return the programs in the order of their start. If supervisord stops them by itself, it does so in reverse order."""
        code_server = self._state.sockets / "code-server.sock"
        workers = self._state.sockets / "workers.sock"
        direct = {"NO_PROXY": HOST, "no_proxy": HOST}
        dagster = {
            **direct,
            "DAGSTER_HOME": str(self._state.dagster_home),
            "DAGSTER_PG_HOST": HOST,
            "DAGSTER_PG_PORT": str(self.server.port),
            "DAGSTER_PG_DB": deployment.DAGSTER_DATABASE,
            "DAGSTER_PG_USERNAME": deployment.DAGSTER_DATABASE,
            "DAGSTER_PG_PASSWORD": self._passwords["dagster"],
            "DAGSTER_CODE_SERVER_SOCKET": str(code_server),
            "DAGSTER_WORKERS_SOCKET": str(workers),
            **({"PIPELINE_LANDING_LONG_POLLING": "false"} if self._stock else {}),
        }

        def module(name: str, environment: dict[str, str], *command: str, once: bool = False, stop_seconds: int = 8):
            protected = die_with_parent.command([sys.executable, "-m", *command], on_death=signal.SIGTERM)
            return Program(name, protected, environment, once=once, stop_seconds=stop_seconds)

        origins = filter(None, self._allowed_origins.split(","))
        emulator = (str(self._ports["aws"]), str(self._state.aws), str(self._state.secret_access_key), *origins)
        webserver = (str(WORKSPACE), str(self._ports["dagster"]))
        workspace = ("-w", str(WORKSPACE))
        grpc = ("api", "grpc", "-m", self._definitions, "-s", str(code_server))
        return [
            Program("postgres", self.server.command(), stop_signal="INT", stop_seconds=20),
            module("aws", direct, "pipeline_project.local.aws_server", *emulator),
            module("dagster-migrate", dagster, TABLES, str(self._state.dagster_home), once=True),
            # It would wait a minute for sensors that are polling the queue. Stopping these sensors loses nothing.
            module("code-server", dagster, "dagster", *grpc, stop_seconds=3),
            module(WARM, dagster, WORKERS, str(workers), str(self._state.dagster_home), self._definitions),
            module("dagster-webserver", dagster, "pipeline_project.local.webserver", *webserver),
            module("dagster-daemon", dagster, "dagster._daemon", "run", *workspace),
        ]

    # --- start

    def start(self) -> Settings:
        """Start everything, and return when all parts are ready. PipelineError says which part is not ready, and why."""
        if folder := plugins.folder():
            self._console.note(f"with the plug-ins of {folder}")
        # A plug-in that cannot be used is reported before any part starts.
        for read in (sources, operations, checks):
            read()
        for attempt in range(1, PORT_ATTEMPTS + 1):
            try:
                return self._start()
            except PortTaken as error:
                # The port was free when it was chosen.
                if attempt == PORT_ATTEMPTS:
                    raise
                self._console.note(f"{error}: starting again with a free port")
                self.stop()
                self._stopping.clear()
                self._choose_ports()
        raise AssertionError("the last attempt returns or raises")

    def _start(self) -> Settings:
        if not (self._state.postgres / "PG_VERSION").exists():
            with self._console.step("PostgreSQL data folder"):
                self.server.initialise(self._passwords["postgres"])
        self.server.forget_dead_server()
        self._state.write_password_file()
        self._state.write_secret_access_key()
        self._write_dagster_yaml()
        self._state.make_sockets()
        self._supervisor = Supervisor(self._state, self._programs())
        self._supervisor.start(seconds=self._ready_seconds)

        with ThreadPoolExecutor(thread_name_prefix="start") as pool:
            try:
                return self._start_parts(pool)
            except BaseException:
                self._stopping.set()  # makes the other steps give up
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _write_dagster_yaml(self) -> None:
        target = self._state.dagster_home / "dagster.yaml"
        text = "".join(part.read_text("utf-8") for part in DAGSTER_YAML)
        if not self._stock:
            target.write_text(text, "utf-8")
            return
        instance = yaml.safe_load(text)
        storage = {"postgres": instance["storage"]["custom"]["config"]}
        ours = ("run_launcher", "run_coordinator", "sensors", "schedules")
        kept = {key: value for key, value in instance.items() if key not in ours}
        target.write_text(yaml.safe_dump(kept | {"storage": storage}), "utf-8")

    def _start_parts(self, pool: ThreadPoolExecutor) -> Settings:
        """Run all steps at the same time. Each step waits for the steps that it needs."""
        postgres = pool.submit(self._start_postgres)
        aws = pool.submit(self._start_aws)
        bundle = pool.submit(self._build_bundle)
        schema = pool.submit(self._migrate, postgres)
        settings = pool.submit(self._deploy, aws, bundle)
        dagster = pool.submit(self._start_dagster, postgres)
        location = pool.submit(self._start_code_server, settings, dagster)
        rest = pool.submit(self._await_rest, settings, schema)
        steps: list[Future[Any]] = [postgres, aws, bundle, schema, settings, dagster, location, rest]
        done, _ = wait(steps, return_when=FIRST_EXCEPTION)
        for error in filter(None, (step.exception() for step in done)):
            if not isinstance(error, GivenUp):  # the consequence of another error
                raise error
        self._state.announce(self.addresses(settings.result()))
        return settings.result()

    def addresses(self, settings: Settings) -> dict[str, str]:
        """Return addresses and commands for people, each under its label."""
        pipeline = os.path.relpath(Path(sys.prefix) / "bin" / "pipeline")
        return {
            "Dagster": self.dagster_url,
            "REST": str(settings.api_url),
            "REST docs": f"{settings.api_url}/docs",
            "S3 endpoint": f"{self.endpoint}  (access key: {pipeline} local env)",
            "Landing": f"s3://{settings.landing_bucket}/",
            "SQL": f"{pipeline} local psql",
            "or": f'psql "{self._state.psql_conninfo("reader")}"',
        }

    def _start_postgres(self) -> None:
        with self._console.step(f"PostgreSQL at {HOST}:{self.server.port}"):
            self._run("postgres", lambda: self.server.is_ready(self._passwords["postgres"]), self.server.port)

    def _start_aws(self) -> None:
        with self._console.step(f"AWS emulator at {self.endpoint}"):
            self._run("aws", lambda: self._answers(f"{self.endpoint}/_ministack/health"), self._ports["aws"])

    def _build_bundle(self) -> None:
        with self._console.step("API function bundle"):
            deployment.build_bundle(self._state.bundle)

    def _migrate(self, postgres: "Future[None]") -> None:
        self._after(postgres)
        with self._console.step("Database schema"):
            deployment.migrate_database(self.server, self._passwords)

    def _deploy(self, aws: "Future[None]", bundle: "Future[None]") -> Settings:
        self._after(aws)
        self._after(bundle)
        with self._console.step("App stack (deploy/templates/local.json) and secrets"):
            deployment.store_secrets(self.endpoint, self.server, self._passwords)
            settings = deployment.deploy(
                self.endpoint,
                self._passwords["aws"],
                self.dagster_url,
                self._state.bundle,
                allowed_origins=self._allowed_origins,
            )
            self._state.write_settings(settings)
        return settings

    def _start_dagster(self, postgres: "Future[None]") -> None:
        self._after(postgres)
        migrated = self._state.dagster_home / "schema_version"
        if not migrated.exists() or migrated.read_text("utf-8") != version("dagster"):
            with self._console.step("Dagster's own tables"):
                deployment.create_dagster_database(self.server, self._passwords)
                self._supervised.run_once(
                    "dagster-migrate", seconds=self._ready_seconds, given_up=self._stopping.is_set
                )
                migrated.write_text(version("dagster"), "utf-8")
        with self._console.step(f"Dagster webserver and daemon at {self.dagster_url}"):
            self._supervised.start_program("dagster-daemon")
            url, port = f"{self.dagster_url}/server_info", self._ports["dagster"]
            self._run("dagster-webserver", lambda: self._answers(url), port)

    def _start_code_server(self, settings: "Future[Settings]", dagster: "Future[None]") -> None:
        with self._console.step(f"Dagster definitions ({self._definitions})"):
            # It reads the settings when it loads the definitions, which takes long. The settings are usually the same as before.
            early = self._state.read_settings()
            if early:
                self._supervised.start_program("code-server")
            self._after(settings)
            if early and early != self._state.read_settings():
                self._supervised.stop_programs(["code-server"])
            if not self._stock:
                self._supervised.start_program(WARM)
            self._supervised.start_program("code-server")
            self._after(dagster)
            self._run("code-server", self._is_location_loaded)

    def _is_location_loaded(self) -> bool:
        answer = request("POST", f"{self.dagster_url}/graphql", {"query": LOCATIONS}).body
        workspace = answer["data"]["workspaceOrError"]
        if "message" in workspace:
            raise PipelineError(f"Dagster cannot read its workspace: {workspace['message']}")
        (entry,) = workspace["locationEntries"]
        found = entry["locationOrLoadError"] or {}
        return entry["loadStatus"] == "LOADED" and found.get("__typename") == "RepositoryLocation"

    def _await_rest(self, settings: "Future[Settings]", schema: "Future[None]") -> None:
        self._after(schema)
        base = self._after(settings).api_url
        with self._console.step(f"REST facade at {base}") as progress:
            started, wrong = time.monotonic(), 0
            while (answer := self._ask_rest(f"{base}/health")) is None or answer.status != 200:
                if self._stopping.is_set():
                    raise GivenUp("REST facade")
                # Without any response, the function is still starting on a slow machine.
                wrong += answer is not None
                is_late = self._ready_seconds is not None and time.monotonic() > started + self._ready_seconds
                if is_late or wrong == REST_ANSWERS:
                    told = "nothing" if answer is None else f"{answer.status}: {answer.body}"
                    progress.text = "REST facade"
                    raise PipelineError(f"GET {base}/health answers {told}")
                time.sleep(REST_SECONDS)

    @staticmethod
    def _ask_rest(url: str) -> Answer | None:
        try:
            return request("GET", url)
        except Transient:
            return None

    @property
    def _supervised(self) -> Supervisor:
        if self._supervisor is None:
            raise PipelineError("not started")
        return self._supervisor

    @staticmethod
    def _answers(url: str) -> bool:
        return request("GET", url, timeout=ANSWER_SECONDS).status == 200

    def _run(self, name: str, is_ready: Callable[[], bool], port: int | None = None) -> None:
        """Start a program and wait until it is ready. If it has a port, it must listen on this port."""
        self._supervised.run(
            name,
            is_ready,
            port=port,
            seconds=self._ready_seconds,
            given_up=self._stopping.is_set,
            note=self._console.note,
        )

    def _after(self, step: "Future[T]") -> T:
        """Return the result of a step that the caller needs. Raise GivenUp if the step failed."""
        try:
            return step.result()
        except BaseException as error:
            raise GivenUp("a step before it failed") from error

    # --- while it runs

    def watch(self) -> NoReturn:
        """Restart supervisord and programs that it gave up, and report each restart.

        Raises PipelineError if the state folder is gone, because nothing can continue without it.
        """
        pids: dict[str, int] = {}
        is_whole, folder = True, self._state.identity()
        while True:
            time.sleep(WATCH_SECONDS)
            if self._state.identity() != folder:
                raise PipelineError(
                    f"The folder {self._state.folder} is gone: bring it back, or start again without it"
                )
            self._report_disk()
            if not (is_whole and self._supervised.is_alive()):
                self._console.note("supervisord died: starting everything again")
                is_whole, pids = self._is_restarted(), {}
            with suppress(Transient):
                for info in self._supervised.all_info():
                    self._look_after(info, pids)

    def _report_disk(self) -> None:
        """Report once that the disk is full, and once that it has space again."""
        trouble = disk.full(self._state.folder)
        if trouble and not self._disk_trouble:
            self._console.note(f"{trouble}. Until then, uploads are refused.")
        elif self._disk_trouble and not trouble:
            self._console.note("There is space again: uploads are accepted.")
        self._disk_trouble = trouble

    def _look_after(self, info: Mapping[str, Any], pids: dict[str, int]) -> None:
        name, pid = info["name"], info["pid"]
        if info["statename"] == "FATAL":
            if name not in self._failing:  # reported once, not for each attempt
                self._console.note(f"{name} does not stay up (see {info['stdout_logfile']}): trying again")
            self._failing.add(name)
            if name == "postgres":
                self._forget_dead_server()
            self._supervised.start_program(name)
        elif pid and pids.get(name, pid) != pid:
            self._console.note(f"{name} died and was started again (process {pid})")
            self._supervised.end_strays()
        if info["statename"] == "RUNNING":
            self._failing.discard(name)
        if pid:
            pids[name] = pid

    def _forget_dead_server(self) -> None:
        with suppress(OSError):  # for example of a full disk: the next restart tries again
            self.server.forget_dead_server()

    def _is_restarted(self) -> bool:
        end_leftovers(self._state)
        self._forget_dead_server()
        try:
            self._supervised.start()
            for name in ("postgres", "aws", *reversed(self._dagster_programs)):
                self._supervised.start_program(name)
        except (PipelineError, OSError) as error:  # it died again, or cannot write its configuration
            self._console.note(f"That did not succeed: {error}")
            return False
        return True

    # --- end

    def stop(self) -> None:
        """Stop everything, Dagster first. Return when no process is left."""
        self._stopping.set()
        if self._supervisor is None:
            return
        with self._console.step("Stopped"):
            if self._supervisor.is_alive():
                try:
                    self._supervisor.stop_programs([*DAGSTER_PROGRAMS, "dagster-migrate"])
                    self._supervisor.stop_programs(["aws", "postgres"])
                except (PipelineError, OSError):
                    self._console.note("supervisord does not answer: ending the processes one by one")
                self._supervisor.shutdown()
            end_leftovers(self._state)
            shutil.rmtree(self._state.sockets, ignore_errors=True)
