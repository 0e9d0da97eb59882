"""Each sentence on ingestion has tests that are there, under the names that docs/ingestion.md gives them."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLE = (TESTS.parent / "docs" / "ingestion.md").read_text("utf-8").split("## The sentences of DESIGN")[1]
ROWS = re.findall(r"^\| [^|]*\| (.+) \| (.+) \|$", TABLE, re.MULTILINE)


def called(path: Path) -> str:
    """The name under which the table speaks of a test module: `orchestration_checks`, and `checks` for ingestion's."""
    part, name = path.parent.name, path.stem.removeprefix("test_")
    return name if part in ("ingest", "unit", "integration", "deploy", name) else f"{part}_{name}"


def defined(module: str) -> set[str]:
    """The tests of the modules of that name: unit and integration may have one each."""
    return {
        node.name
        for path in TESTS.rglob("test_*.py")
        if called(path) == module
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }


def test_each_sentence_has_tests_and_they_are_there() -> None:
    named = {sentence: re.findall(r"`(\w+)\.(test_\w+)`", tests) for sentence, tests in ROWS if sentence != "Sentence"}
    assert len(named) > 40
    assert [sentence for sentence, tests in named.items() if not tests] == []
    assert {
        f"{module}.{test}" for tests in named.values() for module, test in tests if test not in defined(module)
    } == set()
