"""The areas of the platform: what is mutated, and which tests judge it. The data is in areas.toml."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("areas.toml")


@dataclass(frozen=True)
class Part:
    """Globs of sources and of the tests that judge them, from the root of the tree."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]
    slow: bool = False
    """Tests that are marked slow take part, too."""
    without: tuple[str, ...] = ()
    """Names of tests that do not take part."""


@dataclass(frozen=True)
class Judges:
    """The test modules that judge a file."""

    modules: tuple[Path, ...]
    slow: bool
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Area:
    """A part of the platform for which the share of killed mutations is reported."""

    name: str
    parts: tuple[Part, ...]

    def judged(self, root: Path) -> dict[Path, Judges]:
        """Find the sources, each with the tests that judge it."""
        found: dict[Path, Judges] = {}
        for part in self.parts:
            judges = Judges(tuple(_matches(root, part.tests)), part.slow, part.without)
            for source in _matches(root, part.sources):
                found.setdefault(source, judges)
        return found


def areas() -> dict[str, Area]:
    """Read all areas, by name."""
    found = tomllib.loads(DATA.read_text("utf-8"))
    return {name: Area(name, tuple(map(_part, parts))) for name, parts in found.items()}


def _part(given: Mapping[str, Any]) -> Part:
    sources, tests, without = (tuple(given.get(name, ())) for name in ("sources", "tests", "without"))
    return Part(sources, tests, given.get("slow", False), without)


def _matches(root: Path, globs: Iterable[str]) -> list[Path]:
    """List each file once, in the order of the globs and then of the names."""
    found = (path.relative_to(root) for glob in globs for path in sorted(root.glob(glob)))
    return list(dict.fromkeys(path for path in found if path.name != "__init__.py"))
