"""Mutations of configuration files: numbers, switches, and settings that are left out."""

import re
from collections.abc import Iterator

from pipeline_project_tests.mutate.mutation import Edit


def is_valid(text: str) -> bool:
    """Return whether something is left."""
    return bool(text.strip())


def changes(text: str) -> Iterator[Edit]:
    """Find all mutations of a TOML or YAML file."""
    code = re.sub(r"#[^\n]*", lambda found: " " * len(found[0]), text)
    for found in re.finditer(r"(?<![\w.\"'-])\d+(?![\w.\"'-])", code):
        yield Edit("number", found.start(), found.end(), str(int(found[0]) + 1))
    for before, after in (("true", "false"), ("false", "true")):
        for found in re.finditer(rf"\b{before}\b", code):
            yield Edit("boolean", found.start(), found.end(), after)
    for found in re.finditer(r"^[ \t]*[\w-]+ ?[=:] \S[^\n]*\n", code, re.MULTILINE):
        yield Edit("dropped setting", found.start(), found.end(), "\n")


def statement_lines(text: str, line: int) -> range:
    """Return the lines of the setting."""
    return range(line, line + 1)
