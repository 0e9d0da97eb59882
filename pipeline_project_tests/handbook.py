"""CONTRIBUTING.md as a person follows it: the code blocks of a section are typed, and its commands are run.

- A block of Python or SQL that begins with a comment with a path is a new file.
- A block of the language `diff` adds lines to the file that its first line names. `@@` stands between two places of the file.
- In a block of the language `console`, lines after `$ ` are commands.
- Blocks of JSON are records of the example.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from textwrap import dedent

_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_PATH = re.compile(r"(?:#|--) ([\w/.]+\.(?:py|sql))\n")


@dataclass(frozen=True)
class Section:
    """A section with the heading `### title`."""

    text: str

    @classmethod
    def of(cls, page: str, title: str) -> "Section":
        [found] = re.findall(rf"^### {re.escape(title)}\n(.*?)(?=^##)", page, re.DOTALL | re.MULTILINE)
        return cls(found)

    @property
    def files(self) -> list[str]:
        """The files that the section promises to be the only ones that change. A name can have `*`."""
        [line] = re.findall(r"^\*\*Files:\*\* (.*?)\n\n", self.text, re.DOTALL | re.MULTILINE)
        return re.findall(r"`([^`]+)`", line)

    @property
    def proofs(self) -> list[str]:
        """The files of tests that prove the change."""
        [line] = re.findall(r"^Proof: (.*?)\n\n", self.text, re.DOTALL | re.MULTILINE)
        return re.findall(r"`([^`]+\.py)`", line)

    def blocks(self, *languages: str) -> Iterator[tuple[str, str]]:
        for _, language, text in _BLOCK.findall(self.text):
            if not languages or language in languages:
                yield language, dedent(text)

    @property
    def commands(self) -> list[str]:
        """The commands in their order."""
        return [
            line.removeprefix("$ ")
            for _, text in self.blocks("console")
            for line in text.splitlines()
            if line.startswith("$ ")
        ]

    def type_into(self, tree: Path) -> None:
        """Write the new files of the section, and add its lines to the files that exist."""
        for language, text in self.blocks("python", "sql", "diff"):
            if language == "diff":
                _add_lines(tree, text)
            else:
                named = _PATH.match(text)
                assert named, f"the block names no file: {text}"
                path = tree / named[1]
                assert not path.exists(), path
                path.write_text(text[named.end() :], "utf-8")


def _add_lines(tree: Path, difference: str) -> None:
    first, _, rest = difference.partition("\n")
    path = tree / first.removeprefix("+++ ")
    for place in rest.split("@@\n"):
        before = "".join(f"{line[1:]}\n" for line in place.splitlines() if not line.startswith("+"))
        after = "".join(f"{line[1:]}\n" for line in place.splitlines())
        content = path.read_text("utf-8")
        assert content.count(before) == 1, f"{path} does not have this once:\n{before}"
        path.write_text(content.replace(before, after), "utf-8")


def are_just(changed: set[str], promised: list[str]) -> bool:
    """Return whether each changed file is promised, and each promise is kept by one file."""
    return len(changed) == len(promised) and all(
        sum(fnmatch(path, pattern) for path in changed) == 1 for pattern in promised
    )
