import os
import signal
from typing import Any

import pytest

from pipeline_project.cli import local
from pipeline_project.local.console import StepConsole


class StartedStack:
    def addresses(self, _settings: Any) -> dict[str, str]:
        return {"Dagster": "http://127.0.0.1:1"}

    def watch(self) -> None:
        raise AssertionError("the signal arrived before this")


class SignalledConsole(StepConsole):
    """A console that gets the signal at the moment in which it prints `line`."""

    def __init__(self, line: str) -> None:
        super().__init__()
        self._signalled_by = line

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*objects, **options)
        if self._signalled_by in str(objects[0]):
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("line", ["Dagster", "Ctrl-C"])
def test_a_signal_while_the_last_lines_are_printed_is_a_normal_end(line: str) -> None:
    local._raise_on_signal()
    stack: Any = StartedStack()
    settings: Any = None
    local._stay(SignalledConsole(line), stack, settings)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
