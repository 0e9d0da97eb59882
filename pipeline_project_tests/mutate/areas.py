"""The areas of the platform: what is mutated, and which tests judge it. The data is in areas.toml."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).with_name("areas.toml")


@dataclass(frozen=True)
class Area:
    """Globs of sources and tests, from the root of the tree."""

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]

    def source_files(self, root: Path) -> list[Path]:
        return _matches(root, self.sources)

    def test_files(self, root: Path) -> list[Path]:
        """Test modules, the most likely to fail first."""
        return _matches(root, self.tests)


def areas() -> dict[str, Area]:
    """Read all areas, by name."""
    found = tomllib.loads(DATA.read_text("utf-8"))
    return {name: Area(name, tuple(area["sources"]), tuple(area["tests"])) for name, area in found.items()}


def _matches(root: Path, globs: Iterable[str]) -> list[Path]:
    """Each file once, in the order of the globs and then of the names."""
    found = (path.relative_to(root) for glob in globs for path in sorted(root.glob(glob)))
    return list(dict.fromkeys(path for path in found if path.name != "__init__.py"))
