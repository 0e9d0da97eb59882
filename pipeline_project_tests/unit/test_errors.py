"""The table of error codes: the sources use only its codes, no code is left over, and the page made from it is current."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline_project.api.http.problems import STATUS_OF
from pipeline_project.cli.jobs import EXITS
from pipeline_project.error_documentation import MEANINGS, markdown
from pipeline_project.errors import CODES, Exit
from pipeline_project.ingest.decoding import ObjectFault
from pipeline_project.jobs.model import State

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("pipeline_project", "deploy") for path in sorted((ROOT / folder).rglob("*.py"))]
# By the name of a call, where its code is among the arguments.
CALLS = {
    "Problem": (0, "request"),
    "ObjectFault": (0, "file"),
    "fault": (0, "file"),
    "_retry_later": (2, "file"),
    "Failure": ("code", "job"),
}
CLASS = re.compile(r"(Permanent|Transient|PipelineError)$")


def used() -> Iterator[tuple[str, str, str]]:
    """Each code in the sources: what gets it (a request, a file, a job or an error class), the code, and where."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                where, kind = CALLS.get(name, (0, ""))
                given = [each.value for each in node.keywords if each.arg == where]
                if isinstance(where, int):
                    given = node.args[where : where + 1]
                for each in given if kind else []:
                    yield from ((kind, found, place) for found in literals(each))
            elif isinstance(node, ast.ClassDef) and any(CLASS.search(ast.unparse(base)) for base in node.bases):
                for each in node.body:
                    if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "code":
                        yield from (("class", found, place) for found in literals(each.value))


def literals(node: ast.AST) -> Iterator[str]:
    """The texts in an expression such as `"a" if x else "b"`. A code that comes from a variable is found where it is set."""
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value:
            yield each.value


USED = sorted(set(used()))


def test_the_sources_use_only_codes_of_the_table() -> None:
    assert len(USED) > 60, "the search finds the codes"
    assert [each for each in USED if each[1] not in CODES] == []
    belongs = {
        "request": lambda code: code.request is not None,
        "file": lambda code: code.is_of_file,
        "job": lambda code: code.job is not None,
        "class": lambda code: code.request is not None,
    }
    assert [each for each in USED if not belongs[each[0]](CODES[each[1]])] == []


def test_no_code_of_the_table_is_left_over() -> None:
    texts = "\n".join(path.read_text("utf-8") for path in SOURCES if path.name != "errors.py")
    assert [name for name in CODES if f'"{name}"' not in texts] == []


@pytest.mark.parametrize("name", CODES)
def test_each_code_belongs_somewhere_and_says_what_to_do(name: str) -> None:
    code = CODES[name]
    assert code.status or code.job or code.is_of_file
    assert code.request is None or code.gateway is None
    assert (code.status is not None) == (name in STATUS_OF)
    assert code.title and not code.title.endswith(".")
    assert code.action.endswith((".", "`"))
    assert max(len(sentence.split()) for sentence in re.split(r"[.:;] ", code.action)) <= 25


def test_an_error_of_a_file_has_its_code_in_another_process_too() -> None:
    fault = ObjectFault("truncated", "the text ends too early", line=3)
    make, arguments = fault.__reduce__()
    assert make(*arguments).code == "truncated"


def test_each_final_state_of_a_job_has_an_exit_code_of_its_own() -> None:
    assert {state for state in State if state.is_final} == {State(name) for name in EXITS}
    assert len(set(EXITS.values())) == len(EXITS)
    assert {code.job for code in CODES.values() if code.job is not None} == {EXITS["FAILED"], EXITS["TIMED_OUT"]}


def test_the_exit_codes_are_those_that_scripts_rely_on() -> None:
    assert [each.value for each in Exit] == [0, 1, 2, 3, 4, 5, 6, 130]
    assert MEANINGS.keys() == set(Exit)


def test_the_page_is_current() -> None:
    """To renew it, run python -m pipeline_project.error_documentation > docs/reference/errors.md."""
    assert (ROOT / "docs" / "reference" / "errors.md").read_text("utf-8") == markdown()
