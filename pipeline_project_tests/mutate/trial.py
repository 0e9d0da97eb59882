"""Runs the tests of an area on the copy, and says how they ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

OPTIONS = ("-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-m", "not slow", "--tb=no", "-rN")
HOOKS = "pipeline_project_tests.mutate.hooks"
PASSED, FAILED, INTERRUPTED, INTERNAL, WRONG_USAGE, NO_TESTS = range(6)


@dataclass(frozen=True)
class Trial:
    """How the tests ended. `passed` is None if they ran out of time."""

    passed: bool | None
    seconds: float
    output: str


def run_tests(copy: Path, tests: Sequence[Path], servers: Path, seconds: float) -> Trial:
    """Run until the first failure, at most so many seconds. All that the tests started ends with them."""
    command = [sys.executable, "-m", "pytest", *OPTIONS, "-p", HOOKS, "--servers", str(servers)]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    log = copy.parent / "output"
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *map(str, tests)],
            cwd=copy,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _end(process)
    text = log.read_text("utf-8", "replace")
    if status in (INTERNAL, WRONG_USAGE, NO_TESTS):
        raise SystemExit(f"pytest did not run the tests:\n{text[-2000:]}")
    return Trial(None if status is None else status == PASSED, time.monotonic() - began, text)


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
