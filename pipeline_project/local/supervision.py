"""Runs the parts under supervisord, which restarts what dies and rotates the logs.

It is a child of ours and dies with us, as its children do with it. What slips through all the same (no kernel but Linux
offers that) carries a mark in its environment, by which the next start finds it.
"""

import contextlib
import http.client
import os
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from pipeline_project.errors import PipelineError, Transient
from pipeline_project.local import die_with_parent
from pipeline_project.local.console import GivenUp
from pipeline_project.local.state import State, write_private

MARK = "PIPELINE_LOCAL_STATE"
LOG_BYTES = "10MB"
LOG_BACKUPS = 3
POLL_SECONDS = 0.1
END_SECONDS = 5
"""What a leftover process is given before it is killed."""


@dataclass(frozen=True)
class Program:
    """A part to be kept running, or with `once` a task. `stop_signal` ends it in order, within `stop_seconds`."""

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    once: bool = False
    stop_signal: str = "TERM"
    stop_seconds: int = 8


class Supervisor:
    """A supervisord of our own for the programs of one state folder."""

    def __init__(self, state: State, programs: Iterable[Program]) -> None:
        self._state = state
        self._programs = {program.name: program for program in programs}
        self._said = state.logs / "supervisord-said.log"
        self._socket = state.sockets / "supervisor.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start supervisord, none of the programs yet. Call it from the thread that lives longest."""
        write_private(self._state.supervisor_configuration, self._configuration().encode())
        options = ["--nodaemon", "--silent", "-c", str(self._state.supervisor_configuration)]
        command = [sys.executable, "-m", "supervisor.supervisord", *options]
        protected = die_with_parent.command(command, on_death=signal.SIGTERM, parent=os.getpid())
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(  # noqa: S603 our own argument list
                ["/usr/bin/env", f"{MARK}={self._state.folder}", *protected],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                # A Ctrl-C in the terminal is for us; supervisord would stop everything at once and out of order.
                start_new_session=True,
            )
        self.until(lambda: bool(self._call("getState")), "supervisord", seconds=10)

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start_program(self, name: str) -> None:
        """Start it without waiting until it serves. Nothing happens when it runs already."""
        try:
            self._call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            # The second: it ended at once, which its state tells to whoever waits for it.
            if not fault.faultString.startswith(("ALREADY_STARTED", "SPAWN_ERROR")):
                raise

    def stop_programs(self, names: Iterable[str]) -> None:
        """Stop them side by side; returns when all have ended."""
        stopping = []
        for name in names:
            try:
                self._call("stopProcess", name, False)
            except xmlrpc.client.Fault as fault:
                if "NOT_RUNNING" not in fault.faultString:
                    raise
            stopping.append(name)
        seconds = max((self._programs[name].stop_seconds for name in stopping), default=0) + 5
        self.until(lambda: not any(self.info(name)["pid"] for name in stopping), "stopping", seconds=seconds)

    def info(self, name: str) -> dict[str, Any]:
        """supervisord's own: `statename` (`RUNNING`, `BACKOFF`, `FATAL`, …), `pid` (0: none), `start`, `spawnerr`, …"""
        return self._call("getProcessInfo", name)

    def all_info(self) -> list[dict[str, Any]]:
        return self._call("getAllProcessInfo")

    def listens(self, name: str, port: int) -> bool:
        """Whether it is this program that has the port, and not one that was faster."""
        try:
            connections = psutil.Process(self.info(name)["pid"]).net_connections("tcp")
        except psutil.Error:
            return False
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)

    def check(self, name: str) -> None:
        """PipelineError, with the end of its log, if the program was given up."""
        if self.info(name)["statename"] == "FATAL":
            raise PipelineError(f"{name} does not stay up; {self._end_of_log(name)}")

    def run_once(self, name: str, *, seconds: float, given_up: Callable[[], bool] = bool) -> None:
        """Run a `once` program to its end. PipelineError, with the end of its log, if it failed."""
        self.start_program(name)
        self.until(lambda: not self.info(name)["pid"], name, seconds=seconds, given_up=given_up)
        if status := self.info(name)["exitstatus"]:
            raise PipelineError(f"{name} failed with status {status}; {self._end_of_log(name)}")

    def end_strays(self) -> None:
        """End what a part that died has started and left behind (runs of a code server, mostly)."""
        marked = leftovers(self._state)
        try:
            supervisord = psutil.Process(self._call("getPID"))
            ours = {supervisord.pid, *(child.pid for child in supervisord.children(recursive=True))}
        except psutil.NoSuchProcess:
            return
        end([process for process in marked if process.pid not in ours])

    def _end_of_log(self, name: str) -> str:
        log = self._state.logs / f"{name}.log"
        tail = log.read_text("utf-8", "replace").splitlines()[-15:] if log.exists() else []
        return "\n".join([f"the end of {log}:", *tail])

    def shutdown(self) -> None:
        """Stop what still runs, then supervisord."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def until(
        self, condition: Callable[[], bool], what: str, *, seconds: float, given_up: Callable[[], bool] = bool
    ) -> None:
        """Wait for a condition, for which Transient is "not yet". GivenUp when somebody else wants no more of it."""
        deadline = time.monotonic() + seconds
        while True:
            if given_up():
                raise GivenUp(what)
            try:
                if condition():
                    return
            except Transient:
                pass
            if not self.is_alive():
                raise PipelineError(f"supervisord ended: {self._said.read_text('utf-8', 'replace').strip()}")
            if time.monotonic() > deadline:
                raise PipelineError(f"{what} took more than {seconds} s; see {self._state.logs}")
            time.sleep(POLL_SECONDS)

    def _call(self, method: str, *arguments: object) -> Any:
        return call(self._state, method, *arguments)

    def _configuration(self) -> str:
        state = self._state
        sections = [
            "[supervisord]",
            "nodaemon=true",
            "strip_ansi=true",
            f"pidfile={_value(state.sockets / 'supervisord.pid')}",
            f"logfile={_value(state.logs / 'supervisord.log')}",
            f"logfile_maxbytes={LOG_BYTES}",
            f"logfile_backups={LOG_BACKUPS}",
            # Said by name, or supervisord finds it alarming.
            *(["user=root"] if os.geteuid() == 0 else []),
            "[unix_http_server]",
            f"file={_value(self._socket)}",
            "chmod=0700",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        ]
        for priority, program in enumerate(self._programs.values(), start=1):
            environment = ",".join(f'{name}="{_value(value)}"' for name, value in program.environment.items())
            sections += [
                f"[program:{program.name}]",
                f"command={_value(shlex.join(program.command))}",
                f"environment={environment}",
                # Of all values, this one is expanded twice.
                f"stdout_logfile={_value(_value(state.logs / program.name))}.log",
                f"stdout_logfile_maxbytes={LOG_BYTES}",
                f"stdout_logfile_backups={LOG_BACKUPS}",
                "redirect_stderr=true",
                "autostart=false",
                f"autorestart={'false' if program.once else 'true'}",
                f"startsecs={0 if program.once else 1}",
                # Tried again after 1, 2 and 3 seconds, then given up (FATAL).
                "startretries=3",
                f"stopsignal={program.stop_signal}",
                f"stopwaitsecs={program.stop_seconds}",
                # With what it has started itself: runs, functions.
                "stopasgroup=true",
                "killasgroup=true",
                # Stopped in the reverse order, if it is supervisord that has to stop them.
                f"priority={priority}",
            ]
        return "\n".join(sections) + "\n"


def call(state: State, method: str, *arguments: object) -> Any:
    """One XML-RPC call. Transient when no supervisord answers."""
    transport = SupervisorTransport(serverurl=f"unix://{state.sockets / 'supervisor.sock'}")
    try:
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
        return getattr(proxy.supervisor, method)(*arguments)
    except (OSError, http.client.HTTPException) as error:
        raise Transient("supervisord does not answer") from error
    finally:
        transport.close()


def _value(value: object) -> str:
    """As supervisord's configuration wants it: a per cent sign begins an expansion."""
    return str(value).replace("%", "%%")


def leftovers(state: State) -> list[psutil.Process]:
    """Living processes that an earlier supervisord of this state folder has started, and itself."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(state.folder) and _lives(process):
                found.append(process)
        except psutil.Error:
            continue
    return found


def end_leftovers(state: State) -> int:
    """End them, by process id; returns when they are gone, with how many there were."""
    processes = leftovers(state)
    end(processes)
    return len(processes)


def end(processes: list[psutil.Process]) -> None:
    """Ask them to end, and make them after some seconds."""
    for process in processes:
        _send(process, signal.SIGTERM)
    deadline = time.monotonic() + END_SECONDS
    while alive := [process for process in processes if _lives(process)]:
        if time.monotonic() > deadline:
            for process in alive:
                _send(process, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        # PostgreSQL would wait for its clients on SIGTERM.
        gentle = number == signal.SIGTERM and process.name() == "postgres"
        process.send_signal(signal.SIGINT if gentle else number)


def _lives(process: psutil.Process) -> bool:
    """Not so a zombie: in a container it may stay for ever, as nobody reaps it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
