"""`pipeline serve …`: starts a part of the platform in a container of the image.

It reports missing settings in one line, waits for the databases for a limited time, and then becomes the program.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

from pipeline_project.database import Database
from pipeline_project.errors import ConfigurationError, Transient
from pipeline_project.health import Check, answers, checks, faults, landing_checks
from pipeline_project.services import Services
from pipeline_project.settings import PREFIX

NEEDED = ("dagster_logs_bucket", "code_server_host", "run_workers", "run_task_definition")
"""Settings that dagster.yaml and workspace.yaml read from the environment."""
ATTEMPTS = 2
"""Calls to AWS in one check. A check is repeated."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
PATIENCE_SECONDS = 300.0
"""The longest wait. Then the process ends, and ECS starts another one. The circuit breaker of ECS rolls back a deployment whose
processes keep ending."""

log = logging.getLogger("pipeline.serve")


class Part(StrEnum):
    WEBSERVER = "webserver"
    DAEMON = "daemon"
    CODE_SERVER = "code-server"
    RUN_WORKERS = "run-workers"


PORTS = {Part.WEBSERVER: 3000, Part.CODE_SERVER: 4000, Part.RUN_WORKERS: 4001}


def command(part: Part, host: str, port: int | None, home: Path) -> list[str]:
    """Give the command line of a part."""
    at = str(port or PORTS.get(part))
    workspace = ["-w", str(home / "workspace.yaml")]
    definitions = "pipeline_project.definitions"
    dagster = "pipeline_project.operate.program"
    as_json = ["--log-format", "json"]
    programs = {
        Part.WEBSERVER: [dagster, "dagster_webserver", "-h", host, "-p", at, *workspace, *as_json],
        Part.DAEMON: [dagster, "dagster._daemon", "run", *workspace, *as_json],
        Part.CODE_SERVER: [dagster, "dagster", "api", "grpc", "-m", definitions, "-h", host, "-p", at, *as_json],
        Part.RUN_WORKERS: ["pipeline_project.orchestration.workers.server", f"{host}:{at}", str(home), definitions],
    }
    return [sys.executable, "-m", *programs[part]]


def serve(part: Part, host: str, port: int | None, home: Path) -> NoReturn:
    """Become the part. ConfigurationError names a wrong setting, Transient a service that does not answer."""
    services = Services(attempts=ATTEMPTS)
    settings = services.settings
    if missing := [PREFIX + name.upper() for name in NEEDED if not getattr(settings, name)]:
        raise ConfigurationError(f"not set: {', '.join(missing)}")
    if not (home / "dagster.yaml").is_file():
        raise ConfigurationError(f"DAGSTER_HOME: there is no dagster.yaml in {home}")
    databases, others = needed(part, services)
    wait_for(databases)
    for name, fault in faults(others).items():
        log.warning("%s: %s; what needs it will be tried again", name, fault)
    program = command(part, host, port, home)
    log.info("starting %s", part)
    os.execv(program[0], program)  # noqa: S606 a shell is what this avoids


def needed(part: Part, services: Services) -> tuple[dict[str, Check], dict[str, Check]]:
    """Give the checks of the databases that the part needs to start, and the checks of everything else that it uses.

    Webserver and daemon use Dagster's database only. They have no rights on the others.
    """
    settings = services.settings
    dagster = Database.of_dagster(settings, services.client("secretsmanager"))
    databases: dict[str, Check] = {"Dagster's database": lambda: answers(dagster)}
    if part in (Part.WEBSERVER, Part.DAEMON):
        return databases, {}
    found = checks(settings, services.loader, services.client)
    others = {name: check for name, check in found.items() if name != "database"}
    others |= landing_checks(settings, services.client)
    return {**databases, "database": found["database"]}, others


def wait_for(
    parts: Mapping[str, Check],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    patience: float = PATIENCE_SECONDS,
) -> None:
    """Return when all parts answer; log each time which do not. Transient after `patience` seconds."""
    deadline = clock() + patience
    pause = FIRST_PAUSE_SECONDS
    while found := faults(parts):
        why = "; ".join(f"{name}: {fault}" for name, fault in found.items())
        if clock() + pause > deadline:
            raise Transient(f"given up after {patience:g} s: {why}")
        log.warning("waiting %g s: %s", pause, why)
        sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
