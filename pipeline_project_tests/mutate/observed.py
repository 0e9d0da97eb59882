"""What tests did when nothing was changed: the lines that each executed, its time, and what was imported."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

QUICK_SECONDS = 0.5


@dataclass(frozen=True)
class Observed:
    """What was observed. `lines` has, for each file and line, the numbers of the tests that executed it."""

    tests: list[str]
    seconds: list[float]
    lines: dict[str, dict[int, list[int]]]
    modules: list[str]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def read(cls, path: Path) -> "Observed":
        found = cls(**json.loads(path.read_text("utf-8")))
        lines = {file: {int(line): tests for line, tests in each.items()} for file, each in found.lines.items()}
        return cls(found.tests, found.seconds, lines, found.modules)

    def first(self, path: Path, lines: Iterable[int]) -> list[list[str]]:
        """List the tests that are most likely to notice a change of these lines: by name, then by what they executed.

        The order decides how long a trial takes, and not what it finds: all tests run if none fails.
        """
        executed = self.lines.get(path.as_posix(), {})
        numbers = sorted({number for line in lines for number in executed.get(line, [])})
        quick = [number for number in numbers if self.seconds[number] < QUICK_SECONDS]
        named = [test for test in self.tests if path.stem in test]
        return [named, [self.tests[number] for number in quick], [self.tests[number] for number in numbers]]
