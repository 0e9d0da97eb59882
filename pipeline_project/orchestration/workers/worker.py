"""The work of a forked worker: wait for runs, and execute them like `dagster api execute_run`.

A worker ends after some runs, and at once after a run that failed or left threads, child processes or another working
directory behind. If a worker ends before its run, another forked process records the end of the run.
"""

import contextlib
import logging
import os
import random
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._cli.api import _execute_run_command_body
from dagster._core.instance.ref import InstanceRef
from dagster._utils.interrupts import capture_interrupts

from pipeline_project.child_process import be_killed_early, die_with
from pipeline_project.orchestration.workers.protocol import receive, send

RUNS = 20
"""Maximum number of runs of a worker. Memory that runs leave behind does not accumulate."""
SETTLE_SECONDS = 0.5
"""Time in which the threads of a run must end after the run."""
OUT_OF_MEMORY_SCORE = 500
"""Linux ends a worker that uses too much memory before it ends the worker server or PostgreSQL."""
CANCELING = dg.DagsterRunStatus.CANCELING

log = logging.getLogger("pipeline.workers")


def work(channel: socket.socket, ref: InstanceRef) -> int:
    """Serve runs until the server closes the channel. Return the exit code of the process."""
    try:
        with dg.DagsterInstance.from_ref(ref) as instance:
            _touch(instance)
            done = None
            for _ in range(RUNS):
                send(channel, {"done": done})
                message = receive(channel)
                if message is None:
                    return 0
                before = _surroundings()
                done = message["run_id"]
                _touch(instance)
                if not execute(instance, done) or _surroundings() != before:
                    return 0
    except KeyboardInterrupt:  # the signal was for a run that has just ended
        return 0
    return 0


def execute(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Execute a run and return whether it succeeded. SIGINT and SIGTERM interrupt it, as in a process of its own."""
    ends: set[str] = set()
    with capture_interrupts():
        _execute_run_command_body(
            run_id, instance, lambda event: ends.add(event.event_type_value), set_exit_code_on_failure=True
        )
    return dg.DagsterEventType.RUN_SUCCESS.value in ends


def become_a_process_of_its_own(parent: int) -> None:
    """Remove the signal handlers of the server, and die when the server dies."""
    die_with(parent)
    be_killed_early(OUT_OF_MEMORY_SCORE)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    random.seed()


def report_end(ref: InstanceRef, run_id: str, end: str) -> int:
    """Record the end of a run whose worker died, unless the run has already ended. Return the exit code of the process."""
    with dg.DagsterInstance.from_ref(ref) as instance:
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return 0
        report = instance.report_run_canceled if run.status is CANCELING else instance.report_run_failed
        report(run, f"The run has no process any more: {end}")
    return 0


def _touch(instance: dg.DagsterInstance) -> None:
    """Open the connections that a run needs. If PostgreSQL was restarted, this drops the broken connections."""
    with contextlib.suppress(Exception):
        instance.get_runs_count(dg.RunsFilter(run_ids=["none"]))
    with contextlib.suppress(Exception):
        instance.all_logs("none")


def _surroundings() -> tuple[Any, ...]:
    """Return what a run must leave unchanged: number of threads, child processes, working directory."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while threading.active_count() > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    return threading.active_count(), _has_children(), Path.cwd()


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True
