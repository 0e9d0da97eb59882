"""What tests did when nothing was changed: the lines that each executed, its time, and what was imported."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

QUICK_SECONDS = 0.5
AT_IMPORT = -1
"""Stands for a test where a line is executed by an import."""


class Selection(NamedTuple):
    """Tests in the order in which they run."""

    tests: list[str]
    complete: bool
    """Whether other tests of the area cannot notice the change, so that they do not run."""


@dataclass(frozen=True)
class Observed:
    """What was observed. `lines` has, for each file and line, the numbers of the tests that executed it."""

    tests: list[str]
    texts: list[str]
    """The source of each test."""
    seconds: list[float]
    lines: dict[str, dict[int, list[int]]]
    modules: list[str]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def read(cls, path: Path) -> "Observed":
        found = cls(**json.loads(path.read_text("utf-8")))
        lines = {file: {int(line): tests for line, tests in each.items()} for file, each in found.lines.items()}
        return cls(found.tests, found.texts, found.seconds, lines, found.modules)

    def selection(self, path: Path, lines: Iterable[int]) -> Selection:
        """Select the tests that may notice a change of these lines, those first that are most likely to.

        Tests that execute a line are all that may notice its change, unless an import executes it, or only a process that
        was not observed. A test that finds a cached value of an earlier test counts as one that does not execute the line:
        the error is on the side of changes that survive.
        """
        executed = self.lines.get(path.as_posix(), {})
        numbers = {number for line in lines for number in executed.get(line, [])}
        complete = bool(numbers) and AT_IMPORT not in numbers
        ordered = sorted(numbers - {AT_IMPORT}, key=lambda number: (self.seconds[number] > QUICK_SECONDS, number))
        named = [] if complete else self._naming(path.stem)
        return Selection(list(dict.fromkeys([*named, *(self.tests[number] for number in ordered)])), complete)

    def _naming(self, stem: str) -> list[str]:
        """List the tests that name a file, in their own name or in their source."""
        return [test for test, text in zip(self.tests, self.texts, strict=True) if stem in test or stem in text]
