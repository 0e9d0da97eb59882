"""The server of warm workers: single-threaded, with everything imported. It forks processes in advance for future runs.

    launcher ──start──► server ──run id──► idle worker ──► run        SIGINT to the worker ends its run
             ◄──pid───         ◄──done────                            a worker's death is recorded in the log of its run

Run it as `python -m pipeline_project.orchestration.workers.server ADDRESS DAGSTER_HOME [MODULE]`. It opens no connection
and starts no thread, because neither survives a fork. It exits when the project's code has changed, and its supervisor
starts it again.
"""

import contextlib
import gc
import importlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from pipeline_project import logs
from pipeline_project.orchestration.workers import worker as warm_worker
from pipeline_project.orchestration.workers.protocol import REQUEST_SECONDS, is_waiting, listen, receive, send

DEFINITIONS = "pipeline_project.definitions"
PACKAGE = "pipeline_project"
# Libraries that would start a thread when they are imported: OpenBLAS (numpy), jemalloc (pyarrow).
NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
SPARE = 2
"""Number of workers that wait for runs."""
MOST_SPARE = 4
"""Maximum number of waiting workers. More than SPARE can wait after several runs have ended."""
TOP_UP_SECONDS = 2.0
"""Delay before a new worker replaces one that got a run. Most runs are short, and their workers return."""
TOP_UP_SECONDS_IF_NONE = 0.3
"""The same delay if no worker is left. The new run gets the CPU first."""
PAUSE_SECONDS = 1.0
"""Pause after a fork failed, or after a waiting worker died. The next worker could fail for the same reason."""
POLL_SECONDS = 0.2
REMEMBERED = 1_000
"""Number of ended runs whose reason is kept. Run monitoring asks for a reason that could not be recorded in the run."""
STALE_SECONDS = 1.0
"""Interval in which the project's files are checked for changes."""
CODE_CHANGED = 3

log = logging.getLogger("pipeline.workers")


@dataclass
class Worker:
    """A forked process. `run_id` is the run that it executes. None if it is starting or waiting."""

    pid: int
    channel: socket.socket
    is_idle: bool = False
    run_id: str | None = None


class WorkerServer:
    """The server at `address`. Its workers open `instance`."""

    def __init__(self, address: str, instance: InstanceRef) -> None:
        self._instance = instance
        self._spare = SPARE
        self._workers: dict[int, Worker] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()
        self._selector = selectors.DefaultSelector()
        self._top_up_at = 0.0
        self._stale_at = 0.0
        self._code = code_times()
        self._listener = listen(address)
        self._wakeup, wakeup = socket.socketpair()
        self._wakeup.setblocking(False)
        wakeup.setblocking(False)
        self._wakeup_end = wakeup
        self._is_ending = False
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._end_after_runs)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._answer)
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._reap)

    def serve(self) -> NoReturn:
        while True:
            if self._is_ending and not self._has_runs():
                sys.exit(0)
            if time.monotonic() >= self._top_up_at and self._spare_workers() < self._spare:
                self._top_up()
                continue
            for key, _ in self._selector.select(POLL_SECONDS):
                key.data()

    def _end_after_runs(self, *_: object) -> None:
        """Exit after the current runs, as long as the sender of SIGTERM waits. New runs are refused and start cold."""
        log.info("ending, after the runs that there are")
        self._is_ending, self._spare = True, 0

    def _has_runs(self) -> bool:
        return any(worker.run_id for worker in self._workers.values())

    def _spare_workers(self) -> int:
        return sum(worker.run_id is None for worker in self._workers.values())

    # --- what the launcher asks

    def _answer(self) -> None:
        try:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(REQUEST_SECONDS)
                message = receive(connection)
                # A launcher that did not wait has started its run in another way.
                if message is not None and is_waiting(connection):
                    send(connection, self._handle(message))
        except Exception as error:  # an error with one launcher must not affect other runs
            log.warning("a launcher was not answered: %r", error)
            time.sleep(POLL_SECONDS)  # without a free descriptor, the same connection would be reported again at once
        if self._is_stale():
            self._end_for_new_code()

    def _handle(self, message: dict[str, Any]) -> dict[str, Any]:
        match message["ask"]:
            case "start" if self._is_ending:
                return {"refused": "the worker server is ending"}
            case "start" if self._is_stale():
                return {"refused": "the code has changed; the workers are made anew"}
            case "start":
                return self._start(message["run_id"])
            case "terminate":
                return {"signalled": self._terminate(message["run_id"])}
            case "health":
                return self._health(message["run_id"])
            case _:
                return {"refused": "unknown request"}

    def _start(self, run_id: str) -> dict[str, Any]:
        idle = [worker for worker in self._workers.values() if worker.is_idle]
        waiting = idle or [worker for worker in self._workers.values() if worker.run_id is None]
        worker = waiting[0] if waiting else self._make_worker()
        try:
            send(worker.channel, {"run_id": run_id})
        except OSError:
            return {"refused": "the worker had just died"}
        worker.is_idle, worker.run_id = False, run_id
        self._top_up_at = time.monotonic() + (TOP_UP_SECONDS if self._spare_workers() else TOP_UP_SECONDS_IF_NONE)
        return {"pid": worker.pid}

    def _terminate(self, run_id: str) -> bool:
        for worker in self._workers.values():
            if worker.run_id == run_id:
                os.kill(worker.pid, signal.SIGINT)
                return True
        return False

    def _health(self, run_id: str) -> dict[str, Any]:
        if any(worker.run_id == run_id for worker in self._workers.values()):
            return {"alive": True}
        return {"alive": False, "end": self._ended.get(run_id, "its worker server was started anew")}

    # --- workers

    def _top_up(self) -> None:
        try:
            self._make_worker()
        except OSError as error:  # no memory, process or descriptor is available at the moment
            log.warning("no worker could be made: %s", error)
            self._top_up_at = time.monotonic() + PAUSE_SECONDS

    def _make_worker(self) -> Worker:
        ours, theirs = socket.socketpair()

        def serve_runs() -> int:
            ours.close()
            return warm_worker.work(theirs, self._instance)

        with theirs, contextlib.ExitStack() as unless_forked:
            unless_forked.callback(ours.close)
            pid = self._fork(serve_runs)
            unless_forked.pop_all()
        worker = Worker(pid, ours)
        self._workers[pid] = worker
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(worker))
        return worker

    def _fork(self, do: Callable[[], int]) -> int:
        """Fork a process that closes everything of the server, runs `do` and exits with its result. Return its ID."""
        assert_forkable()
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            warm_worker.become_a_process_of_its_own(parent)
            self._close_inherited()
            status = do()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _close_inherited(self) -> None:
        self._selector.close()
        for each in (self._listener, self._wakeup, self._wakeup_end, *(w.channel for w in self._workers.values())):
            each.close()

    def _hear(self, worker: Worker) -> None:
        """Read a message of a worker: it waits for its next run. A closed channel means that it dies; SIGCHLD follows."""
        try:
            said = receive(worker.channel)
        except (OSError, ValueError):
            said = None
        if said is None:
            self._selector.unregister(worker.channel)
            worker.is_idle = False
            return
        if worker.run_id != said["done"]:
            return  # the worker was ready, but it has already got a run
        if worker.run_id is not None:
            self._remember(worker.run_id, "its worker had finished with it")
        worker.is_idle, worker.run_id = True, None
        if self._spare_workers() > max(self._spare, MOST_SPARE) or not self._spare:
            worker.is_idle = False
            worker.channel.shutdown(socket.SHUT_WR)  # the worker exits

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wakeup.recv(1024):
                pass
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                self._bury(*found)

    def _bury(self, pid: int, status: int) -> None:
        worker = self._workers.pop(pid, None)
        if worker is None:
            return
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(worker.channel)
        worker.channel.close()
        code = os.waitstatus_to_exitcode(status)
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        if worker.run_id is not None:
            end = f"its worker (pid {pid}) was {how}" if code < 0 else f"its worker {how}"
            self._remember(worker.run_id, end)
            self._report(worker.run_id, end)
        elif code:
            log.warning("a waiting worker (pid %d) %s", pid, how)
            self._top_up_at = time.monotonic() + PAUSE_SECONDS

    def _report(self, run_id: str, end: str) -> None:
        """Record the end of a run at once, in a forked process. The server has no connection.

        Run monitoring would not do it for a run that has not begun.
        """
        try:
            self._fork(lambda: warm_worker.report_end(self._instance, run_id, end))
        except OSError as error:
            log.warning("nobody could tell of the end of run %s: %s", run_id, error)

    def _remember(self, run_id: str, end: str) -> None:
        self._ended[run_id] = end
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    # --- the code

    def _is_stale(self) -> bool:
        if time.monotonic() >= self._stale_at:
            self._stale_at = time.monotonic() + STALE_SECONDS
            if code_times() != self._code:
                self._stale_at = float("inf")
        return self._stale_at == float("inf")

    def _end_for_new_code(self) -> None:
        """Exit after the last run. Until then, new runs are refused and start in processes of their own."""
        self._spare = 0
        if not self._has_runs():
            sys.exit(CODE_CHANGED)


def code_times() -> dict[str, float]:
    """Return the modification time of each imported file of the project."""
    files = (
        getattr(module, "__file__", None)
        for name, module in list(sys.modules.items())
        if name == PACKAGE or name.startswith(f"{PACKAGE}.")
    )
    times = {}
    for file in filter(None, files):
        with contextlib.suppress(OSError):
            times[file] = os.stat(file).st_mtime  # noqa: PTH116 about two hundred files each second
    return times


def assert_forkable() -> None:
    """Raise RuntimeError if the process has threads. A fork copies one thread, and locks of the others stay locked."""
    tasks = Path("/proc/self/task")
    threads = len(list(tasks.iterdir())) if tasks.exists() else 1
    if threads != 1:
        raise RuntimeError(f"the worker server has {threads} threads: something that it imported has started them")


def _import_storage(ref: InstanceRef) -> None:
    """Import the modules of an instance without creating the instance, because that would open connections."""
    parts = (ref.storage_data, ref.run_storage_data, ref.event_storage_data, ref.compute_logs_data)
    for part in parts:
        if part is not None:
            importlib.import_module(part.module_name)
    for name in ("dagster._grpc.impl", "dagster._core.storage.alembic", "alembic.autogenerate", "sqlalchemy.dialects"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def main() -> None:
    logs.configure_process()
    address, home, *module = sys.argv[1:]
    os.environ.update(NO_THREADS)
    definitions: dg.Definitions = importlib.import_module(module[0] if module else DEFINITIONS).defs
    definitions.get_repository_def().load_all_definitions()
    instance = InstanceRef.from_dir(home)
    _import_storage(instance)
    gc.collect()
    gc.freeze()  # otherwise, a garbage collection in a worker would write to every shared page, and so copy it
    log.info("ready at %s", address)
    WorkerServer(address, instance).serve()


if __name__ == "__main__":
    main()
