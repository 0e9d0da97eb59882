"""The Lambda bundle: complete, small, the same bytes each time, and not built again without need."""

import ast
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy import bundle
from pipeline_project import plugins
from pipeline_project.errors import Permanent
from pipeline_project_tests.company import COMPANY, needs_company

# What the Lambda runtime itself has.
IN_THE_RUNTIME = {"boto3", "botocore"}
# Packages whose module has another name.
MODULES = {"protobuf": "google"}
# Imports everything with nothing but the bundle and the standard library.
IMPORT_ALONE = """
import sys
sys.path.append(sys.argv[1])
import msgspec, psycopg, pydantic
import pipeline_project.settings
assert psycopg.pq.__impl__ == "binary", psycopg.pq.__impl__
for module in (msgspec, psycopg, pydantic, pipeline_project):
    assert module.__file__.startswith(sys.argv[1]), module.__file__
from pipeline_project.analytics.failures import QueryRefused
from pipeline_project.analytics.guard import check
assert check("SELECT count(*) FROM entities;").statement == "SELECT count(*) FROM entities"
try:
    check("SELECT pg_sleep(1)")
except QueryRefused:
    print(pipeline_project.settings.__cached__)
"""
MACHINES = {"arm64": 183, "x86_64": 62}
"""As e_machine of an ELF header names them."""


@pytest.fixture(scope="module")
def host_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("bundle") / "nested" / "api.zip"
    assert bundle.build(output, bundle.HOST)
    return output


def pins(path: Path) -> dict[str, str]:
    lines = path.read_text("utf-8").splitlines()
    return dict(re.split("==", line.split(" ;")[0], maxsplit=1) for line in lines if "==" in line)


def test_the_pins_are_those_of_the_platform_and_complete() -> None:
    api = pins(bundle.REQUIREMENTS)
    run = pins(bundle.ROOT / "requirements" / "run.txt")
    assert {name: run.get(name) for name in api} == api
    extras = {"psycopg": "binary"}
    for name in api:
        for line in requires(name) or []:
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or marker.evaluate({"extra": extras.get(name, "")}):
                assert requirement.name.lower().replace("_", "-") in api.keys() | IN_THE_RUNTIME, f"{name} needs {line}"


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports; `from a import b` gives `a` and, as it may be a module, `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_every_import_of_the_bundled_code_is_in_the_bundle() -> None:
    files = set(bundle.source_files())
    pinned = {MODULES.get(name, name.replace("-", "_")) for name in pins(bundle.REQUIREMENTS)}
    for source in files:
        if source.suffix != ".py":
            continue
        for name in imports(source):
            top, *rest = name.split(".")
            if top == "pipeline_project":
                there = [bundle.ROOT.joinpath(top, *rest[:-1], f"{rest[-1]}.py")] if rest else []
                there = [p for p in there if p.is_file() and p.name not in bundle.NOT_BUNDLED]
                assert set(there) <= files, f"{source} imports {name}"
            else:
                assert top in sys.stdlib_module_names | pinned | IN_THE_RUNTIME, f"{source} imports {name}"


@pytest.mark.slow
def test_the_bundle_runs_alone_from_its_byte_code(host_bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(host_bundle) as archive:
        archive.extractall(tmp_path)
    command = [sys.executable, "-I", "-S", "-c", IMPORT_ALONE, str(tmp_path)]
    cached = Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    # PEP 552: the flags of a hash-based .pyc that is not checked against its source.
    assert cached.is_relative_to(tmp_path)
    assert cached.read_bytes()[4:8] == (0b01).to_bytes(4, "little")
    assert str(Path(sys.prefix)).encode() not in cached.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", bundle.PLATFORMS)
def test_both_architectures_are_small_and_carry_the_parser(architecture: str, tmp_path: Path) -> None:
    # For this minor version of Python, so that the byte code, which no other could make, is counted.
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    output = tmp_path / "api.zip"
    bundle.build(output, bundle.Target(architecture, python))
    assert output.stat().st_size <= 13_000_000
    with zipfile.ZipFile(output) as archive:
        libraries = {name: archive.read(name) for name in archive.namelist() if ".so" in name}
        assert sum(name.endswith(".pyc") for name in archive.namelist()) > 300
    assert any(name.startswith("postgast/libpg_query.") for name in libraries)
    assert {int.from_bytes(each[18:20], "little") for each in libraries.values()} == {MACHINES[architecture]}
    assert not [name for name, each in libraries.items() if any(each[40:48])], "section headers, and what they list"


@pytest.mark.slow
def test_the_same_sources_give_the_same_bytes(host_bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "api.zip"
    bundle.build(again, bundle.HOST)
    assert again.read_bytes() == host_bundle.read_bytes()
    with zipfile.ZipFile(again) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert {entry.date_time for entry in archive.infolist()} == {bundle.EARLIEST_ZIP_TIME}
        assert not [n for n in names if n.endswith(("RECORD", "uv_cache.json")) or n.startswith("bin/")]
        assert bundle.ROOT.as_posix().encode() not in b"".join(
            archive.read(n) for n in names if n.startswith("pipeline_project")
        )
    assert not [p for p in tmp_path.iterdir() if p != again], "unfinished files were left"


@pytest.mark.slow
def test_only_a_change_builds_it_again(host_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current = tmp_path / "api.zip"
    current.write_bytes(host_bundle.read_bytes())

    def refuse(*_: object) -> None:
        raise AssertionError("built again")

    with monkeypatch.context() as patch:
        patch.setattr(bundle, "_install", refuse)
        start = time.process_time()
        assert not bundle.build(current, bundle.HOST)
        assert time.process_time() - start < 1
        with pytest.raises(AssertionError, match="built again"):
            bundle.build(current, bundle.Target("arm64", "3.13"))
        pinned_anew = bundle.ROOT / "requirements" / "bootstrap.txt"
        patch.setattr(bundle, "REQUIREMENTS", pinned_anew)
        with pytest.raises(AssertionError, match="built again"):
            bundle.build(current, bundle.HOST)
        patch.setattr(bundle, "REQUIREMENTS", bundle.ROOT / "requirements" / "api.txt")
        truncated = tmp_path / "truncated.zip"
        truncated.write_bytes(host_bundle.read_bytes()[:1000])
        with pytest.raises(AssertionError, match="built again"):
            bundle.build(truncated, bundle.HOST)
    assert current.read_bytes() == host_bundle.read_bytes()


def test_a_package_that_cannot_be_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = bundle.ROOT / "requirements" / "bootstrap.txt"
    monkeypatch.setattr(bundle, "REQUIREMENTS", requirements)
    monkeypatch.setattr(bundle, "PLATFORMS", {"arm64": "aarch64-unknown-nothing"})
    output = tmp_path / "api.zip"
    with pytest.raises(Permanent, match="aarch64-unknown-nothing"):
        bundle.build(output, bundle.Target("arm64", "3.13"))
    assert not output.exists()


def test_libraries_that_an_environment_shares_stay_as_they_are(tmp_path: Path) -> None:
    """uv links files from its cache: what is written into one of them is written under running processes."""
    program = Path(sys.executable).resolve().read_bytes()
    shared, tree = tmp_path / "shared.so", tmp_path / "tree"
    shared.write_bytes(program)
    tree.mkdir()
    (tree / "library.so").hardlink_to(shared)
    bundle._strip_libraries(tree)
    assert shared.read_bytes() == program
    assert len((tree / "library.so").read_bytes()) < len(program)


KNOWN_IN_THE_BUNDLE = """
import importlib.metadata
import sys
real = importlib.metadata.entry_points
def entry_points(**chosen):  # pydantic looks for its own
    assert "pipeline_project" not in chosen.get("group", ""), "a cold start looks for installed plug-ins"
    return real(**chosen)
importlib.metadata.entry_points = entry_points
sys.path.append(sys.argv[1])
from pipeline_project.analytics.catalogue import operation
from pipeline_project.analytics.guard import check
print(operation("invoice_totals").statement.decode())
check("SELECT amount FROM invoices")
"""


@pytest.fixture
def with_company(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PIPELINE_PLUGINS", str(COMPANY))
    plugins.folder.cache_clear()
    yield
    plugins.folder.cache_clear()


@needs_company
@pytest.mark.slow
@pytest.mark.usefixtures("with_company")
def test_the_bundle_takes_the_folder_of_plugins_along(tmp_path: Path) -> None:
    output = tmp_path / "api.zip"
    assert bundle.build(output, bundle.HOST)
    assert not bundle.build(output, bundle.HOST)
    with zipfile.ZipFile(output) as archive:
        archive.extractall(tmp_path / "unpacked")
    command = [sys.executable, "-I", "-S", "-c", KNOWN_IN_THE_BUNDLE, str(tmp_path / "unpacked")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (COMPANY / "operations" / "invoice_totals.sql").read_text("utf-8").strip()


def test_an_operation_that_imports_what_the_function_does_not_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme" / "operations").mkdir(parents=True)
    module = tmp_path / "acme" / "operations" / "totals.py"
    module.write_text("import json\nfrom pipeline_project.ingest import ledger\n", "utf-8")
    monkeypatch.setattr(plugins, "folder", lambda: tmp_path / "acme")
    with pytest.raises(Permanent, match=r"totals\.py:2: the API function does not hold pipeline_project\.ingest"):
        bundle.plugin_files()
