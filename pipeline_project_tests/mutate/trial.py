"""Runs tests on the copy, each time in a process of its own, and says how they ended.

The process is forked from this one, which has imported what the tests import from other projects. A trial then begins at
once. The code and the tests themselves are imported anew, from the copy.
"""

import importlib
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline_project_tests.mutate.areas import Judges

OPTIONS = (
    *("-x", "-q", "--tb=short", "-rfE", "--timeout=60"),
    *("-p", "no:randomly", "-p", "no:cacheprovider", "-p", "pipeline_project_tests.mutate.hooks"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # about plugins that are imported already
)
QUICK = ("-m", "not slow")
OURS = frozenset({"pipeline_project", "pipeline_project_tests", "deploy"})
PASSED, FAILED, INTERRUPTED, INTERNAL, WRONG_USAGE, NO_TESTS = range(6)


@dataclass(frozen=True)
class Trial:
    """How the tests ended. `passed` is None if they ran out of time."""

    passed: bool | None
    seconds: float
    output: str


def run_tests(copy: Path, judges: Judges, servers: Path, seconds: float, *options: str) -> Trial:
    """Run until the first failure, at most so many seconds. All that the tests started ends with them."""
    log = copy.parent / "output"
    arguments = [
        *OPTIONS,
        *(() if judges.slow else QUICK),
        "--servers",
        str(servers),
        *options,
        *map(str, judges.modules),
    ]
    process = multiprocessing.get_context("fork").Process(target=_run, args=(copy, log, arguments))
    began = time.monotonic()
    process.start()
    assert process.pid is not None
    try:
        process.join(seconds)
        status = process.exitcode
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
    text = log.read_text("utf-8", "replace")
    if status in (INTERNAL, WRONG_USAGE, NO_TESTS):
        raise SystemExit(f"pytest did not run the tests:\n{text[-2000:]}")
    return Trial(None if status is None else status == PASSED, time.monotonic() - began, text)


def preload(names: Iterable[str]) -> None:
    """Import modules of other projects, so that each trial finds them imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            with suppress(Exception):
                importlib.import_module(name)


def is_ours(module: str) -> bool:
    return module.partition(".")[0] in OURS


def _run(copy: Path, log: Path, arguments: list[str]) -> None:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number, path, mode in ((0, os.devnull, os.O_RDONLY), (1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)):
        opened = os.open(path, mode, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.dup2(1, 2)
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy)
    sys.path.insert(0, str(copy))
    for name in [each for each in sys.modules if is_ours(each)]:
        del sys.modules[name]
    sys.exit(int(pytest.main(arguments)))
