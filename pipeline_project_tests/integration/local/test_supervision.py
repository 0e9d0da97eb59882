"""supervisord as the local stack uses it: what dies is started again, and nothing outlives us."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pipeline_project.errors import PipelineError, Transient
from pipeline_project.local import die_with_parent, supervision
from pipeline_project.local.console import GivenUp
from pipeline_project.local.postgres import HOST, free_port
from pipeline_project.local.state import State
from pipeline_project.local.supervision import MARK, PortTaken, Program, Supervisor, call, end_leftovers, leftovers

SECONDS = 60
SLEEP = die_with_parent.command(["sleep", "1000"], on_death=signal.SIGTERM)
# What `pipeline local` is to its supervisord.
CONSOLE = """
import signal, sys
from pathlib import Path
from pipeline_project.local import die_with_parent
from pipeline_project.local.state import State
from pipeline_project.local.supervision import Program, Supervisor
state = State(Path(sys.argv[1]))
sleep = die_with_parent.command(["sleep", "1000"], on_death=signal.SIGTERM)
supervisor = Supervisor(state, [Program("sleeper", sleep)])
supervisor.start()
supervisor.start_program("sleeper")
print(supervisor.info("sleeper")["pid"], flush=True)
signal.pause()
"""


# Listens on the port that a file names as soon as there is one.
LISTENER = """
import pathlib, signal, socket, sys, time
file = pathlib.Path(sys.argv[1])
while not file.exists():
    time.sleep(0.02)
listener = socket.socket()
listener.bind(("127.0.0.1", int(file.read_text())))
listener.listen()
signal.pause()
"""


def listening(state: State) -> list[str]:
    script = state.folder / "listener.py"
    script.write_text(LISTENER, "utf-8")
    return [sys.executable, "-IS", str(script), str(state.folder / "port")]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(tmp_path / "a folder, 100% sure")
    state.logs.mkdir(parents=True)
    state.make_sockets()
    yield state
    end_leftovers(state)
    for path in state.sockets.iterdir():
        path.unlink()
    state.sockets.rmdir()


@pytest.fixture
def supervisor(state: State) -> Iterator[Supervisor]:
    environment = {"GREETING": 'hello, "100%" world'.replace('"', "'")}
    programs = [
        Program("sleeper", SLEEP),
        Program("speaker", ["sh", "-c", 'echo "$GREETING"; exec sleep 1000'], environment),
        Program("stubborn", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1000; done"], stop_seconds=1),
        Program("broken", ["sh", "-c", "echo why it fails; exit 3"]),
        Program("dying", ["sh", "-c", "echo why it dies; exec sleep 1000"]),
        Program("listener", listening(state)),
        Program("task", ["sh", "-c", "echo done"], once=True),
        Program("failing-task", ["sh", "-c", "echo no disk; exit 4"], once=True),
    ]
    supervisor = Supervisor(state, programs)
    supervisor.start()
    yield supervisor
    with suppress(PipelineError):  # a test may have killed it
        supervisor.stop_programs(program.name for program in programs)
    supervisor.shutdown()


def test_a_killed_program_is_started_again(supervisor: Supervisor) -> None:
    supervisor.start_program("sleeper")
    supervisor.start_program("sleeper")
    until(lambda: supervisor.info("sleeper")["statename"] == "RUNNING")
    first = supervisor.info("sleeper")["pid"]
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.info("sleeper")["pid"] not in (0, first))


def test_environment_and_output_pass_through(state: State, supervisor: Supervisor) -> None:
    supervisor.start_program("speaker")
    log = state.logs / "speaker.log"
    until(lambda: log.exists() and log.read_text("utf-8") == "hello, '100%' world\n")


def test_programs_stop_even_if_they_refuse(state: State, supervisor: Supervisor) -> None:
    for name in ("sleeper", "stubborn"):
        supervisor.start_program(name)
    log = state.logs / "stubborn.log"
    until(lambda: log.exists() and log.read_text("utf-8") == "ready\n")
    supervisor.stop_programs(["sleeper", "stubborn", "speaker"])
    assert not any(info["pid"] for info in supervisor.all_info())


def test_a_task_is_waited_for(supervisor: Supervisor) -> None:
    supervisor.run_once("task")
    with pytest.raises(PipelineError, match=r"status 4(.|\n)*no disk"):
        supervisor.run_once("failing-task")


def test_waiting_ends_when_nobody_wants_it_any_more(supervisor: Supervisor) -> None:
    given_up = threading.Event()
    timer = threading.Timer(0.1, given_up.set)
    timer.start()
    with pytest.raises(GivenUp):
        supervisor.until(lambda: False, "never", seconds=None, given_up=given_up.is_set)
    timer.join()


@pytest.mark.parametrize("is_slow_to_end", [False, True])
def test_a_program_that_dies_while_it_starts_is_reported_with_its_log(
    state: State, supervisor: Supervisor, is_slow_to_end: bool
) -> None:
    """At once: the condition that is waited for would never hold."""
    name = "dying" if is_slow_to_end else "broken"
    log = state.logs / f"{name}.log"
    log.write_text("of an earlier start: Address already in use\n", "utf-8")

    def is_ready() -> bool:
        if is_slow_to_end and log.read_text("utf-8").endswith("why it dies\n"):
            os.kill(supervisor.info(name)["pid"], signal.SIGKILL)
        return False

    with pytest.raises(PipelineError, match=f"{name} does not stay up(.|\n)*{name}.log:\nwhy it (dies|fails)$") as died:
        supervisor.run(name, is_ready, port=None if is_slow_to_end else free_port())
    assert type(died.value) is PipelineError


def test_a_program_is_waited_for_as_long_as_its_process_lives(
    state: State, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped for so long that it is reported twice, and goes on after that."""
    port = free_port()
    supervisor.start_program("listener")
    process = psutil.Process(supervisor.info("listener")["pid"])
    process.suspend()
    monkeypatch.setattr(supervision, "NOTE_SECONDS", 0.2)
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        if len(notes) == 2:
            (state.folder / "port").write_text(str(port), "utf-8")
            process.resume()

    supervisor.run("listener", lambda: True, port=port, note=note)
    assert supervisor.listens("listener", port)
    assert len(notes) >= 2
    assert f"its process {process.pid} lives" in notes[0]


def test_a_wait_can_be_bounded(supervisor: Supervisor) -> None:
    with pytest.raises(PipelineError, match=r"sleeper took more than 0\.2 s; see "):
        supervisor.run("sleeper", lambda: False, seconds=0.2)


@pytest.mark.parametrize("is_listening", [False, True])
def test_a_port_that_is_taken_meanwhile_is_named(state: State, supervisor: Supervisor, is_listening: bool) -> None:
    with socket.socket() as taker:
        taker.bind((HOST, 0))
        port = taker.getsockname()[1]
        if is_listening:  # the program would see it only later, and is not waited for
            taker.listen()
        else:
            (state.folder / "port").write_text(str(port), "utf-8")
        with pytest.raises(PortTaken, match=f"port {port} of listener is taken by ") as taken:
            supervisor.run("listener", lambda: True, port=port)
    assert (f"process {os.getpid()} (" in str(taken.value)) == is_listening


def test_a_killed_supervisor_takes_its_programs_along(state: State, supervisor: Supervisor) -> None:
    supervisor.start_program("sleeper")
    until(lambda: supervisor.info("sleeper")["statename"] == "RUNNING")
    sleeper = psutil.Process(supervisor.info("sleeper")["pid"])
    os.kill(call(state, "getPID"), signal.SIGKILL)
    until(lambda: not supervisor.is_alive() and not leftovers(state))
    assert not sleeper.is_running() or sleeper.status() == psutil.STATUS_ZOMBIE
    with pytest.raises(Transient):
        supervisor.info("sleeper")
    supervisor.start()
    supervisor.start_program("sleeper")
    assert supervisor.info("sleeper")["pid"] != sleeper.pid


def test_a_killed_console_takes_everything_along(state: State) -> None:
    with subprocess.Popen([sys.executable, "-c", CONSOLE, str(state.folder)], stdout=subprocess.PIPE) as console:
        assert console.stdout is not None
        assert int(console.stdout.readline())
        assert len(leftovers(state)) == 2
        console.kill()
    until(lambda: not leftovers(state))


def test_what_slipped_through_is_ended_by_its_mark(state: State) -> None:
    def started(folder: object, *command: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(["env", f"{MARK}={folder}", *command], stdout=subprocess.PIPE)

    with (
        started(state.folder, "sleep", "1000") as ours,
        started(f"{state.folder}-of-another", "sleep", "1000") as another,
    ):
        until(lambda: len(leftovers(state)) == 1)
        # The process is our child: somebody has to reap it.
        reaper = threading.Thread(target=ours.wait)
        reaper.start()
        assert end_leftovers(state) == 1
        reaper.join()
        assert ours.returncode == -signal.SIGTERM
        assert another.poll() is None
        another.kill()
    assert end_leftovers(state) == 0
