"""What a person reads while the platform starts, runs and stops: a line for each step, with its seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import rich.console
from rich.markup import escape

from pipeline_project.errors import PipelineError
from pipeline_project.printable import printable

FILE_WIDTH = 140
"""Of tables in a file or a pipe, where nobody knows better."""


class GivenUp(PipelineError):
    """The step has not failed: it was given up, since another one has."""


class Progress:
    """The text of a step, which may be made more precise while it runs."""

    def __init__(self, text: str) -> None:
        self.text = text


class StepConsole(rich.console.Console):
    """Rich's console, which threads may share; long lines are left to the terminal."""

    def __init__(self) -> None:
        super().__init__(highlight=False, soft_wrap=True)
        if not self.is_terminal:
            self.width = FILE_WIDTH

    @contextmanager
    def step(self, text: str) -> Iterator[Progress]:
        """One line when the step has ended, well or not."""
        started, progress = time.monotonic(), Progress(text)
        try:
            yield progress
        except GivenUp:
            raise
        except BaseException:
            self._line("[red]✗[/]", progress.text, started)
            raise
        self._line("[green]✓[/]", progress.text, started)

    def note(self, text: str) -> None:
        with suppress(OSError):  # the disk that it is written to may be the full one
            self.print(f"[yellow]![/] {escape(printable(text))}")

    def _line(self, sign: str, text: str, started: float) -> None:
        self.print(f"{sign} {escape(printable(text)):<84}[dim]{time.monotonic() - started:6.1f} s[/]")
