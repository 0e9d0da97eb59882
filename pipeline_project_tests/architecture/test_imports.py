"""Imports run downwards only. Read from the sources, without importing anything."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent.parent / "pipeline_project"
NAME = PACKAGE.name

# From the ground up: a folder or module imports from its own line only itself, and from those above it whatever they offer.
LAYERS = (
    ("errors", "exact_json", "printable"),
    ("child_process",),
    ("settings", "client", "logs", "terminal", "error_documentation"),
    ("aws", "database", "plugins", "tracing"),
    ("health", "schema"),
    ("datasets",),
    ("sources",),
    ("canonical",),
    ("ingest",),
    ("analytics",),
    ("results",),
    ("jobs",),
    ("notify",),
    ("services",),
    ("orchestration", "api"),
    ("definitions", "local", "operate"),
    ("cli",),
    ("testing",),
)
# The same inside of a package: its folders, and the modules that are in none.
INNER_LAYERS = {
    "ingest": (("decoding",), ("ledger", "mapping"), ("discovery", "loading"), ("drafting", "inspection", "rejects")),
    "orchestration": (
        ("names", "retries"),
        ("compatibility", "presentation"),
        ("workers",),
        ("assets",),
        ("automation",),
    ),
    "api": (("http",), ("routes",), ("documentation",), ("handler",)),
}
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


def level(package: str, part: str) -> int:
    """The floor on which a part of a package stands, counted from the ground."""
    layers = LAYERS if package == NAME else INNER_LAYERS[package.removeprefix(f"{NAME}.")]
    [found] = [number for number, parts in enumerate(layers) if part in parts]
    return found


def parted(one: str, other: str) -> tuple[str, str, str] | None:
    """The innermost package that holds both modules, and its two parts that they lie in. None if one holds the other."""
    ones, others = one.split("."), other.split(".")
    depth = next((i for i, (a, b) in enumerate(zip(ones, others, strict=False)) if a != b), None)
    return None if depth is None else (".".join(ones[:depth]), ones[depth], others[depth])


def faces(module: str, target: str) -> Iterator[tuple[str, str]]:
    """The packages that an import of `target` enters from outside, each with the name that it asks for."""
    steps = target.split(".")
    for depth in range(2, len(steps)):
        package = ".".join(steps[:depth])
        if package in PACKAGES and not f"{module}.".startswith(f"{package}."):
            yield package, steps[depth]


PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}
OFFERED: dict[str, list[str]] = {
    name: ast.literal_eval(node.value)
    for name in PACKAGES - {NAME}
    for node in ast.parse(MODULES[name].read_text("utf-8")).body
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
}
OWN = {
    name: sorted({each for each in imported(path) if each in MODULES and each != NAME})
    for name, path in MODULES.items()
}


def test_every_part_has_a_layer() -> None:
    parts = [part for layer in LAYERS for part in layer]
    assert sorted(parts) == sorted({part_of(name) for name in MODULES if name != NAME})
    for package, layers in INNER_LAYERS.items():
        inside = {name.split(".")[2] for name in MODULES if name.startswith(f"{NAME}.{package}.")}
        assert sorted(part for layer in layers for part in layer) == sorted(inside), package


@pytest.mark.parametrize("module", sorted(set(MODULES) - {NAME}))
def test_imports_run_downwards(module: str) -> None:
    for each in OWN[module]:
        apart = parted(module, each)
        if apart is not None and (apart[0] == NAME or apart[0].removeprefix(f"{NAME}.") in INNER_LAYERS):
            package, own, other = apart
            assert level(package, other) < level(package, own), f"{module} imports {each}"


@pytest.mark.parametrize("package", sorted(PACKAGES - {NAME}))
def test_every_package_has_a_face(package: str) -> None:
    """A docstring says what belongs there, and `__all__` what others may use; nothing in it is missing or unused."""
    text = MODULES[package].read_text("utf-8")
    assert ast.get_docstring(ast.parse(text)), package
    names = {ast.unparse(node) for node in ast.parse(text).body if isinstance(node, ast.ImportFrom)}
    offered = OFFERED[package]
    for name in offered:
        assert f"{package}.{name}" in MODULES or any(name in each for each in names), f"{package} has no {name}"


@pytest.mark.parametrize("module", sorted(set(MODULES) - {NAME}))
def test_no_import_reaches_past_a_face(module: str) -> None:
    targets = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    past = {
        f"{package} does not offer {name}"
        for target in targets
        for package, name in faces(module, target)
        if name not in OFFERED[package]
    }
    assert past == set()


def test_there_is_no_circle_of_imports() -> None:
    """Imports inside of functions count, too: they only delay a circle."""
    graph = {name: set(imported(path)) & set(MODULES) for name, path in MODULES.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_dagster_is_used_in_one_package() -> None:
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


def test_only_the_container_loads_the_settings() -> None:
    """Every entry point hands the container on, so that a process has one set of settings, clients and databases."""
    loading = [name for name, path in MODULES.items() if _loads_settings(path)]
    assert loading == [f"{NAME}.services"]


def _loads_settings(path: Path) -> bool:
    calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
    return any(ast.unparse(call.func) == "Settings.load" for call in calls)


def test_the_worker_server_imports_no_library_that_starts_threads() -> None:
    """It forks, and so tells these libraries to start no threads before it imports them itself."""
    waiting = [f"{NAME}.orchestration.workers.server"]
    reached = set(waiting)
    while waiting:
        found = set(imported(MODULES[waiting.pop()], at_import=True))
        assert not {each.partition(".")[0] for each in found} & {"numpy", "pandas", "pyarrow", "matplotlib"}
        new = {each for each in found if each in MODULES} - reached
        # A module of a package imports its face, too.
        new |= {".".join(each.split(".")[:depth]) for each in new for depth in range(2, each.count(".") + 1)} - reached
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
    writing = {f"{NAME}.local.aws_server", f"{NAME}.orchestration.workers.server"}
    assert reading <= {f"{NAME}.settings", *writing}
