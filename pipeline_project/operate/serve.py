"""`pipeline serve …`: what a container of the image runs. It says in one line what is missing, waits for the databases as
long as that makes sense, and then becomes the program.
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
"""What dagster.yaml and workspace.yaml take from the environment."""
ATTEMPTS = 2
"""Calls to AWS in one check. A check is repeated."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
PATIENCE_SECONDS = 300.0
"""Then the process ends: ECS starts another one, and its circuit breaker rolls a deployment back that does not get far."""

log = logging.getLogger("pipeline.serve")


class Part(StrEnum):
    WEBSERVER = "webserver"
    DAEMON = "daemon"
    CODE_SERVER = "code-server"
    RUN_WORKERS = "run-workers"


PORTS = {Part.WEBSERVER: 3000, Part.CODE_SERVER: 4000, Part.RUN_WORKERS: 4001}


def command(part: Part, host: str, port: int | None, home: Path) -> list[str]:
    """The program of a part."""
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
    """Become the part. ConfigurationError names a setting that is missing or malformed; Transient what does not answer."""
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
    """The databases without which the part cannot start; and what else it uses.

    Webserver and daemon know Dagster's database alone: they have no right to the others.
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
    """Return once all of them answer; say each time why not. Transient after `patience` seconds."""
    deadline = clock() + patience
    pause = FIRST_PAUSE_SECONDS
    while found := faults(parts):
        why = "; ".join(f"{name}: {fault}" for name, fault in found.items())
        if clock() + pause > deadline:
            raise Transient(f"given up after {patience:g} s: {why}")
        log.warning("waiting %g s: %s", pause, why)
        sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
