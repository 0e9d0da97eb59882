"""Each numbered sentence of docs/explanation/ingestion-semantics.md has tests, and the tests exist."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "explanation" / "ingestion-semantics.md"
ROWS = re.findall(r"^\| (\d+\.\d+) \| (.+) \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)


def called(path: Path) -> str:
    """Return the name that the page has for a test module: `orchestration_checks`, and `checks` for ingestion's."""
    part, name = path.parent.name, path.stem.removeprefix("test_")
    return name if part in ("ingest", "unit", "integration", "deploy", name) else f"{part}_{name}"


def defined(module: str) -> set[str]:
    """Return the tests of the modules of that name. Unit and integration can have one each."""
    return {
        node.name
        for path in TESTS.rglob("test_*.py")
        if called(path) == module
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }


def test_sentences_are_numbered_without_gaps() -> None:
    numbers = [tuple(map(int, number.split("."))) for number, _, _ in ROWS]
    assert len(numbers) > 40
    expected, previous = [], (0, 0)
    for section, _ in numbers:
        previous = (section, previous[1] + 1) if section == previous[0] else (previous[0] + 1, 1)
        expected.append(previous)
    assert numbers == expected


def test_each_sentence_has_tests_and_they_exist() -> None:
    named = {number: re.findall(r"`(\w+)\.(test_\w+)`", tests) for number, _, tests in ROWS}
    assert [number for number, tests in named.items() if not tests] == []
    assert {
        f"{module}.{test}" for tests in named.values() for module, test in tests if test not in defined(module)
    } == set()
