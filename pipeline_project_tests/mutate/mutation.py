"""A mutation: one small change to one file, such as a careless refactoring could make."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Change(Protocol):
    """A change to a text, at a place of it."""

    @property
    def rule(self) -> str: ...

    @property
    def begin(self) -> int: ...

    def apply(self, text: str) -> str: ...


@dataclass(frozen=True)
class Edit:
    """A change that replaces one part of a text. `begin` and `end` are offsets."""

    rule: str
    begin: int
    end: int
    replacement: str

    def apply(self, text: str) -> str:
        return text[: self.begin] + self.replacement + text[self.end :]


@dataclass(frozen=True)
class Mutation:
    """A change to a file of the tree. `id` stays the same while the line and the rule do."""

    id: str
    path: Path
    line: int
    change: Change

    @property
    def rule(self) -> str:
        return self.change.rule


def mutations(path: Path, text: str, changes: Iterable[Change]) -> Iterator[Mutation]:
    """Name the changes to a file."""
    lines = text.splitlines()
    seen: Counter[tuple[str, str]] = Counter()
    for change in changes:
        line = text.count("\n", 0, change.begin) + 1
        what = (change.rule, lines[line - 1].strip())
        seen[what] += 1
        named = "\n".join([path.as_posix(), *what, str(seen[what])])
        yield Mutation(hashlib.sha256(named.encode()).hexdigest()[:12], path, line, change)


def changed_lines(before: str, after: str) -> tuple[str, str]:
    """Return what differs between two texts, in whole lines without their indentation."""
    old, new = before.splitlines(), after.splitlines()
    begin = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    tail = next(
        (n for n, (a, b) in enumerate(zip(reversed(old[begin:]), reversed(new[begin:]), strict=False)) if a != b),
        min(len(old), len(new)) - begin,
    )
    return _shown(old[begin : len(old) - tail]), _shown(new[begin : len(new) - tail])


def _shown(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)
