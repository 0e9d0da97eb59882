"""Runs the parts under supervisord, which restarts what dies and rotates the logs.

It is a child of ours and dies with us, as its children do with it. What slips through all the same (no kernel but Linux
offers that) carries a mark in its environment, by which the next start finds it.
"""

import contextlib
import http.client
import io
import math
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from pipeline_project.errors import PipelineError, Transient
from pipeline_project.local import die_with_parent
from pipeline_project.local.console import GivenUp
from pipeline_project.local.postgres import HOST
from pipeline_project.local.state import State, write_private

MARK = "PIPELINE_LOCAL_STATE"
LOG_BYTES = "10MB"
LOG_BACKUPS = 3
POLL_SECONDS = 0.1
END_SECONDS = 5
"""What a leftover process is given before it is killed."""
NOTE_SECONDS = 60
"""How often a long wait is reported."""
LOG_LINES = 15
LOG_TAIL_BYTES = 64 * 1024
PROBE_SECONDS = 1
ENDED = ("BACKOFF", "EXITED", "FATAL")
ADDRESS_IN_USE = "ddress already in use"
"""How every program reports EADDRINUSE."""


class PortTaken(PipelineError):
    """Another program has the port of a part that starts."""


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
        # In memory: it must have where to write when the disk is full.
        self._said: deque[str] = deque(maxlen=LOG_LINES)
        self._log_starts: dict[str, int] = {}
        self._socket = state.sockets / "supervisor.sock"
        self._process: subprocess.Popen[str] | None = None

    def start(self, *, seconds: float | None = None) -> None:
        """Start supervisord, none of the programs yet. Call it from the thread that lives longest."""
        write_private(self._state.supervisor_configuration, self._configuration().encode())
        options = ["--nodaemon", "--silent", "-c", str(self._state.supervisor_configuration)]
        command = [sys.executable, "-m", "supervisor.supervisord", *options]
        protected = die_with_parent.command(command, on_death=signal.SIGTERM, parent=os.getpid())
        self._process = subprocess.Popen(  # noqa: S603 our own argument list
            ["/usr/bin/env", f"{MARK}={self._state.folder}", *protected],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            # A Ctrl-C in the terminal is for us; supervisord would stop everything at once and out of order.
            start_new_session=True,
        )
        self._listener = threading.Thread(target=_listen, args=(self._process, self._said), daemon=True)
        self._listener.start()
        self.until(lambda: bool(self._call("getState")), "supervisord", seconds=seconds)

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start_program(self, name: str) -> None:
        """Start it without waiting until it serves. Nothing happens when it runs already."""
        log = self._log(name)
        self._log_starts.setdefault(name, log.stat().st_size if log.exists() else 0)
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
        """Return whether it is this program that has the port, and not one that was faster."""
        try:
            connections = psutil.Process(self.info(name)["pid"]).net_connections("tcp")
        except psutil.Error:
            return False
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)

    def run(
        self,
        name: str,
        is_ready: Callable[[], bool],
        *,
        port: int | None = None,
        seconds: float | None = None,
        given_up: Callable[[], bool] = bool,
        note: Callable[[str], object] = bool,
    ) -> None:
        """Start a program and wait until it is ready, as long as its process lives, or at most `seconds`.

        PipelineError, with the end of its log, once the process has ended. PortTaken if another program has its port.
        `note` gets a sentence for each minute that it takes.
        """
        self.start_program(name)
        first = self.info(name)["pid"]
        self._check(name, first, port)
        noted = started = time.monotonic()

        def settled() -> bool:
            nonlocal noted
            if (now := time.monotonic()) > noted + NOTE_SECONDS:
                noted = now
                note(f"{name} has not been ready for {now - started:.0f} s; {self._activity(first)}")
            self._check(name, first, port)
            return (port is None or self.listens(name, port)) and is_ready()

        self.until(settled, name, seconds=seconds, given_up=given_up)

    def _check(self, name: str, first: int, port: int | None) -> None:
        """Raise an error if the process `first` of a program has ended, or another program has the port."""
        info = self.info(name)
        if info["statename"] in ENDED or info["pid"] != first:
            end = self._end_of_log(name)
            if port is not None and (ADDRESS_IN_USE in end or self._is_taken(name, port)):
                raise PortTaken(port_taken(name, port))
            raise PipelineError(f"{name} does not stay up: its process ended while it started; {end}")
        if port is not None and self._is_taken(name, port):
            raise PortTaken(port_taken(name, port))

    def _is_taken(self, name: str, port: int) -> bool:
        # In this order: what answers may be the program itself, which has just begun to listen.
        return not self.listens(name, port) and _answers(port) and not self.listens(name, port)

    def _activity(self, pid: int) -> str:
        try:
            process = psutil.Process(pid)
            used = sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))
        except psutil.Error:
            return "its process has just ended"
        return f"its process {pid} lives and has used {used:.0f} s of CPU time"

    def run_once(self, name: str, *, seconds: float | None = None, given_up: Callable[[], bool] = bool) -> None:
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

    def _log(self, name: str) -> Path:
        return self._state.logs / f"{name}.log"

    def _end_of_log(self, name: str) -> str:
        """The last lines that the program has written since it was started."""
        log, text = self._log(name), ""
        if log.exists():
            with log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                start = self._log_starts.get(name, 0)
                # A log that is shorter than it was has been rotated.
                file.seek(max(start if start <= size else 0, size - LOG_TAIL_BYTES))
                text = file.read().decode("utf-8", "replace")
        return "\n".join([f"the end of {log}:", *text.splitlines()[-LOG_LINES:]])

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
        self, condition: Callable[[], bool], what: str, *, seconds: float | None, given_up: Callable[[], bool] = bool
    ) -> None:
        """Wait for a condition, for which Transient is "not yet"; `None` seconds: as long as supervisord lives.

        GivenUp when `given_up` says that the wait has no purpose any more.
        """
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            if given_up():
                raise GivenUp(what)
            try:
                if condition():
                    return
            except Transient:
                pass
            if not self.is_alive():
                self._listener.join(END_SECONDS)
                raise PipelineError(f"supervisord ended: {''.join(self._said).strip()}")
            if time.monotonic() > deadline:
                raise PipelineError(f"{what} took more than {seconds:g} s; see {self._state.logs}")
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


def holder(port: int) -> str | None:
    """The process that listens on a port of the loopback, or its interface; None if no process does, as far as we see."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        connections = []
    for each in connections:
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
            with contextlib.suppress(psutil.Error):
                return f"process {each.pid} ({psutil.Process(each.pid).name()})"
    return "another program" if _answers(port) else None


def port_taken(name: str, port: int) -> str:
    return f"port {port} of {name} is taken by {holder(port) or 'another program'}"


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(PROBE_SECONDS)
        return probe.connect_ex((HOST, port)) == 0


def _listen(process: "subprocess.Popen[str]", lines: deque[str]) -> None:
    with process.stdout or io.StringIO() as output:
        lines.extend(output)


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
