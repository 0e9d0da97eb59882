"""Runs a command that gets a signal when its parent dies, so that a killed supervisor leaves no orphans.

`python -IS die_with_parent.py SIGNAL PARENT_PID COMMAND…`. The kernel offers this on Linux only; elsewhere the command
runs unprotected and the next start ends what is left over. A script and not a module: it must start in milliseconds.
"""

import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
ANY_PARENT = 0


def command(argv: list[str], *, on_death: signal.Signals, parent: int = ANY_PARENT) -> list[str]:
    """`argv`, protected. `parent` (a process id) closes the gap in which the parent dies before the command asks."""
    return [sys.executable, "-IS", str(Path(__file__).resolve()), str(int(on_death)), str(parent), *argv]


def main() -> None:
    on_death, parent, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 not on every platform

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, on_death, 0, 0, 0)
    if parent not in (ANY_PARENT, os.getppid()):
        sys.exit("the parent process is gone")
    os.execvp(argv[0], argv)  # noqa: S606 a shell is what this avoids


if __name__ == "__main__":
    main()
