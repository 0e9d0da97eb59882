"""Imports run downwards only. Read from the sources, without importing anything."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent.parent / "pipeline_project"
NAME = PACKAGE.name

# From the ground up: a folder or module imports from its own line and from those above it. `errors` first.
LAYERS = (
    ("errors", "printable"),
    ("settings", "client", "logs", "terminal"),
    ("aws", "database", "tracing"),
    ("health",),
    ("sources",),
    ("canonical",),
    ("ingest",),
    ("analytics",),
    ("results",),
    ("jobs",),
    ("notify",),
    ("orchestration", "api"),
    ("definitions", "local", "operate"),
    ("cli",),
)
LEVELS = {part: level for level, parts in enumerate(LAYERS) for part in parts}
# The Lambda pays for every import at each cold start.
HEAVY = {"dagster", "pandas", "pyarrow", "matplotlib"}


def module_name(path: Path) -> str:
    parts = (NAME, *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imported(path: Path, *, at_import: bool = False) -> Iterator[str]:
    """The modules that a module imports; with `at_import` only those it imports when it is imported itself."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in _statements(tree) if at_import else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path} imports relatively"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """What runs at import: not the bodies of functions, nor what only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        is_for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not is_for_types and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _statements(child)


def part_of(module: str) -> str:
    return module.split(".")[1]


OWN = {
    name: sorted({each for each in imported(path) if each in MODULES and each != NAME})
    for name, path in MODULES.items()
}


def test_every_part_has_its_place() -> None:
    assert {part_of(name) for name in MODULES if name != NAME} <= set(LEVELS)


@pytest.mark.parametrize("module", sorted(set(MODULES) - {NAME}))
def test_imports_run_downwards(module: str) -> None:
    upwards = [each for each in OWN[module] if LEVELS[part_of(each)] > LEVELS[part_of(module)]]
    assert upwards == []
    neighbours = [
        each
        for each in OWN[module]
        if part_of(each) != part_of(module) and LEVELS[part_of(each)] == LEVELS[part_of(module)]
    ]
    assert neighbours == []


def test_no_circles() -> None:
    """At import. A function may import what would be too heavy for whoever does not call it."""
    graph = {name: set(imported(path, at_import=True)) & set(MODULES) for name, path in MODULES.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_dagster_stands_in_one_place() -> None:
    using = {
        part_of(name)
        for name, path in MODULES.items()
        if any(each.partition(".")[0].startswith("dagster") for each in imported(path))
    }
    assert using == {"orchestration", "definitions"}


def test_nothing_heavy_is_reachable_from_the_function() -> None:
    """Over every import, those inside of functions too; pyarrow alone may be imported by a function, for Parquet."""
    for what, at_import in ((HEAVY, True), (HEAVY - {"pyarrow"}, False)):
        waiting = [name for name in MODULES if part_of(name + ".") == "api"]
        reached = set(waiting)
        while waiting:
            path = MODULES[waiting.pop()]
            found = set(imported(path, at_import=at_import))
            assert not {each.partition(".")[0] for each in found} & what, path
            new = {each for each in found if each in MODULES} - reached
            reached |= new
            waiting += new


def test_only_settings_reads_the_environment() -> None:
    reading = {
        name
        for name, path in MODULES.items()
        if any(
            isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv")
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
        )
    }
    # Two servers do not read it, but set what the libraries read that they are about to import.
    writing = {f"{NAME}.local.aws_server", f"{NAME}.orchestration.worker_server"}
    assert reading <= {f"{NAME}.settings", *writing}
