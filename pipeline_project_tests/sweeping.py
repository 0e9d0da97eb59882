"""A server of its own on which statements are run that may not be stoppable, with their time and memory."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psycopg

from pipeline_project.analytics.catalogue import operation
from pipeline_project.analytics.execution import execute
from pipeline_project.analytics.failures import QueryTimedOut
from pipeline_project.analytics.parameters import CustomComplexQuery
from pipeline_project.database import Connection, Database
from pipeline_project.errors import PipelineError

TIMEOUT_SECONDS = 0.2
GRACE_SECONDS = 2.0
"""Seconds of processor time that a statement may take after its timeout."""
MOST_MEGABYTES = 300
TICK_SECONDS = 0.05
CUSTOM = operation("custom_complex_query")
TICKS = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What a statement took. `problem` is empty if this is within the limits."""

    seconds: float
    megabytes: float
    problem: str


class Sweeper(Database):
    """One kept connection of the reader. A backend that goes on after its timeout is killed, and its server starts again."""

    def __init__(self, conninfo: str) -> None:
        super().__init__(lambda: conninfo)
        self._kept: Connection | None = None
        self._watched: tuple[int, float] | None = None
        self._killed = False
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @contextmanager
    def connect(self, *, autocommit: bool = False) -> Iterator[Connection]:
        deadline = time.monotonic() + 60
        while self._kept is None or self._kept.closed:
            try:
                self._kept = psycopg.connect(self.conninfo(), autocommit=autocommit)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
        self._kept.autocommit = autocommit
        yield self._kept

    def close(self) -> None:
        self._ended.set()
        self._watcher.join()
        if self._kept is not None:
            self._kept.close()

    def cost(self, statement: str) -> Cost:
        """Run the statement as the platform does, whatever it gives or raises."""
        self._killed = False
        begun: list[tuple[int, float]] = []

        def watch(pid: int) -> None:
            Path(f"/proc/{pid}/clear_refs").write_text("5", "utf-8")  # the peak of memory begins again
            begun.append((pid, _cpu_seconds(pid)))
            self._watched = begun[0]

        unjudged = CustomComplexQuery.model_construct(query=statement, params=[])
        ended_in_time = False
        try:
            with execute(self, CUSTOM, unjudged, timeout_seconds=TIMEOUT_SECONDS, on_backend=watch) as rows:
                for _ in rows:
                    pass
        except QueryTimedOut:
            ended_in_time = True
        except PipelineError:
            pass
        self._watched = None
        pid, before = begun[0]
        if self._killed:
            self._forget()
            return Cost(TIMEOUT_SECONDS + GRACE_SECONDS, 0, "could not be stopped")
        try:
            return _judged(_cpu_seconds(pid) - before, _peak_megabytes(pid))
        except (OSError, KeyError):
            self._forget()
            # The server ends the session of a statement that waited long for its turn on a busy machine.
            return Cost(0, 0, "" if ended_in_time else "ended its session")

    def _forget(self) -> None:
        if self._kept is not None:
            self._kept.close()
        self._kept = None

    def _watch(self) -> None:
        while not self._ended.wait(TICK_SECONDS):
            if watched := self._watched:
                pid, before = watched
                with suppress(OSError):
                    if _cpu_seconds(pid) - before > TIMEOUT_SECONDS + GRACE_SECONDS:
                        self._killed = True
                        self._watched = None
                        os.kill(pid, signal.SIGKILL)


def _judged(seconds: float, megabytes: float) -> Cost:
    problems = []
    if seconds > TIMEOUT_SECONDS + GRACE_SECONDS:
        problems.append(f"took {seconds:.1f} s of processor time")
    if megabytes > MOST_MEGABYTES:
        problems.append(f"took {megabytes:.0f} MB")
    return Cost(seconds, megabytes, " and ".join(problems))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _peak_megabytes(pid: int) -> float:
    """Memory of the backend's own at its peak. Shared buffers and program code are not its own."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines())
    peak, *others = (int(status[name].split()[0]) for name in ("VmHWM", "RssShmem", "RssFile"))
    return (peak - sum(others)) / 1024
