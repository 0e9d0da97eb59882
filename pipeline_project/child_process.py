"""Runs a function in a process of its own, so that its death, its memory and its crash are not those of the caller.

    caller ──function and arguments──► child ──result──► caller        the child dies with the caller

`python -m pipeline_project.child_process PARENT` is the child. A new interpreter and no fork: the caller has threads.
"""

import contextlib
import ctypes
import os
import pickle
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pipeline_project.errors import Transient

T = TypeVar("T")

POLL_SECONDS = 0.05
"""How often the caller looks at the memory of the child."""
READ_BYTES = 1024 * 1024
PR_SET_PDEATHSIG = 1
FIRST_TO_BE_KILLED = 1_000
"""The highest number that `be_killed_early` takes."""


class ChildDied(Exception):
    """The child ended without a result."""

    def __init__(self, exit_code: int, seconds: float, *, memory: int | None = None) -> None:
        """`exit_code`: negative for a signal. `seconds`: how long the child lived.

        `memory`: the bound in bytes, if the caller killed the child for it.
        """
        super().__init__(f"the process ended with {exit_code}")
        self.exit_code = exit_code
        self.seconds = seconds
        self.memory = memory

    @property
    def how(self) -> str:
        """What happened to the process, as the end of a sentence."""
        if self.exit_code >= 0:
            return f"ended with exit code {self.exit_code}"
        return f"was ended by the signal {_signal_name(-self.exit_code)}"


class Stopped(Exception):
    """The caller asked for the end before there was a result."""


def run_apart(function: Callable[..., T], *arguments: Any, memory: int, stop: threading.Event | None = None) -> T:
    """Call a function of a module in a child process, which may use so many bytes of memory. Returns what it returns.

    Raises what the function raises; ChildDied if the process ended before; Stopped soon after `stop` is set; Transient if
    the machine has no room for another process.
    """
    started_at = time.monotonic()
    command = [sys.executable, "-m", __name__, str(os.getpid())]
    try:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 our own module
    except OSError as error:
        raise Transient("no process can be started at the moment") from error
    with child:
        try:
            answer, is_too_large = _talk(child, pickle.dumps((function, arguments)), memory, stop)
        finally:
            child.kill()  # it has answered, or it is not to go on
        exit_code = child.wait()
    if answer is None:
        raise Stopped
    try:
        succeeded, result = pickle.loads(answer)  # noqa: S301 from our own child
    except (EOFError, pickle.UnpicklingError):
        seconds = time.monotonic() - started_at
        raise ChildDied(exit_code, seconds, memory=memory if is_too_large else None) from None
    if not succeeded:
        raise result
    return result


def _talk(
    child: "subprocess.Popen[bytes]", request: bytes, memory: int, stop: threading.Event | None
) -> tuple[bytes | None, bool]:
    """Send the request and read until the child closes its end. The second is whether it was killed for its memory."""
    assert child.stdin is not None and child.stdout is not None  # noqa: S101 pipes were asked for
    with contextlib.suppress(BrokenPipeError), child.stdin as pipe:  # broken: it has died already
        pipe.write(request)
    answer = bytearray()
    is_too_large = False
    while True:
        if select.select([child.stdout], [], [], POLL_SECONDS)[0]:
            more = os.read(child.stdout.fileno(), READ_BYTES)
            if not more:
                return bytes(answer), is_too_large
            answer += more
        elif stop is not None and stop.is_set():
            return None, False
        elif not is_too_large and _resident_bytes(child.pid) > memory:
            is_too_large = True
            child.kill()


def _resident_bytes(pid: int) -> int:
    """Memory that a process has. 0 where the system does not tell: there its own protection has to do."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * resource.getpagesize()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return str(number)


def die_with(parent: int) -> None:
    """End this process when its parent ends, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def be_killed_early(score: int) -> None:
    """Let Linux end this process before others if memory runs out: those with the highest score, up to 1000, go first."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(score), "ascii")


def _serve(parent: int) -> None:
    die_with(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to handle
    be_killed_early(FIRST_TO_BE_KILLED)
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever the function prints is no answer
    function, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 from our own parent
    try:
        answer = (True, function(*arguments))
    except Exception as error:
        answer = (False, error)
    with os.fdopen(answers, "wb") as pipe:
        pipe.write(pickle.dumps(answer))


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
