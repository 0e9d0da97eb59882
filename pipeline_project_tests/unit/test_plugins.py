"""Plug-ins of a folder and of packages: what is found, and what stops the start. Each start is a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REGISTRIES = """
import json
from pipeline_project.analytics.catalogue import operations
from pipeline_project.canonical.checks import checks
from pipeline_project.datasets.registry import datasets
from pipeline_project.errors import PipelineError
from pipeline_project.plugins import sql_folders
from pipeline_project.sources.registry import sources
try:
    found = {
        "sources": list(sources()), "datasets": list(datasets()), "operations": list(operations()),
        "checks": [check.name for check in checks()], "migrations": list(map(str, sql_folders("migrations"))),
    }
except PipelineError as error:
    found = {"error": str(error)}
print(json.dumps(found))
"""
SOURCE = """
from pipeline_project.sources.source import Source

SOURCE = Source(
    name="{}", description="")
"""
DATASET = """
from pipeline_project.schema.dataset import Dataset, Latest
from pipeline_project.schema.fields import Id, own_id
from pipeline_project.schema.record import Record

class Parcel(Record):
    source_id: Id = own_id("ID", "id")

PARCELS = Dataset(
    name="{}", description="", record=Parcel, kind=Latest(), table="{}", key=("canonical_id",))
"""
OPERATION = """
from pathlib import Path
from pipeline_project.analytics.catalogue import Operation
from pipeline_project.analytics.parameters import NoParameters

OPERATION = Operation(
    name="{}", summary="", description="", parameters=NoParameters, sql=Path(__file__).with_suffix(".sql"))
"""
CHECK = "-- table: canonical.{}\n-- severity: warn\n-- Nothing.\nSELECT 1 WHERE false\n"


def start(tmp_path: Path, plugins: str | None = None, **files: str) -> dict[str, list[str]]:
    """Write files (a name has `__` for a slash and ends in its suffix) and look into the registries of a new process."""
    for name, text in files.items():
        path = tmp_path / (name.replace("__", "/").replace("_py", ".py").replace("_sql", ".sql"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PIPELINE_PLUGINS"}
    if plugins is not None:
        environment["PIPELINE_PLUGINS"] = plugins
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", REGISTRIES],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def refused(tmp_path: Path, **files: str) -> str:
    found = start(tmp_path, "acme", **files)
    assert list(found) == ["error"], found
    return str(found["error"])


ALL = {
    "acme__sources__shop_py": SOURCE.format("shop"),
    "acme__datasets__parcels_py": DATASET.format("parcels", "parcels"),
    "acme__operations__weights_py": OPERATION.format("weights"),
    "acme__operations__weights_sql": "-- Weights.\nSELECT 1 AS one\n",
    "acme__checks__parcels_weigh_sql": CHECK.format("parcels"),
    "acme__migrations__20270101000000_parcels_sql": "-- migrate:up\n",
}


def test_a_folder_adds_to_every_registry(tmp_path: Path) -> None:
    before = start(tmp_path)
    found = start(tmp_path, "acme", **ALL)
    added = {kind: sorted(set(found[kind]) - set(before[kind])) for kind in found}
    assert added == {
        "sources": ["shop"],
        "datasets": ["parcels"],
        "operations": ["weights"],
        "checks": ["parcels_weigh"],
        "migrations": [str(tmp_path / "acme" / "migrations")],
    }
    assert all(set(before[kind]) <= set(found[kind]) for kind in found)


def test_an_installed_package_adds_to_every_registry(tmp_path: Path) -> None:
    entry_points = """
[pipeline_project.sources]
shop = acme.sources.shop:SOURCE
[pipeline_project.datasets]
parcels = acme.datasets.parcels
[pipeline_project.operations]
weights = acme.operations.weights:OPERATION
[pipeline_project.checks]
acme = acme.checks
[pipeline_project.migrations]
acme = acme.migrations
"""
    installed = tmp_path / "acme-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n", "utf-8")
    (installed / "entry_points.txt").write_text(entry_points, "utf-8")
    found = start(tmp_path, **ALL)
    assert "error" not in found, found
    assert {"shop"} <= set(found["sources"])
    assert {"parcels"} <= set(found["datasets"])
    assert {"weights"} <= set(found["operations"])
    assert {"parcels_weigh"} <= set(found["checks"])
    assert found["migrations"] == [str(tmp_path / "acme" / "migrations")]


@pytest.mark.parametrize(
    ("files", "first", "second"),
    [
        ({"acme__sources__other_py": SOURCE.format("crm")}, "sources/crm.py:", "acme/sources/other.py:4"),
        (
            {"acme__sources__a_py": SOURCE.format("shop"), "acme__sources__b_py": SOURCE.format("shop")},
            "acme/sources/a.py:4",
            "acme/sources/b.py:4",
        ),
        (
            {"acme__datasets__more_py": DATASET.format("entities", "parcels")},
            "datasets/entities.py:",
            "acme/datasets/more.py:9",
        ),
        (
            {"acme__operations__more_py": OPERATION.format("simple_demo")},
            "analytics/catalogue.py:",
            "acme/operations/more.py:6",
        ),
        (
            {"acme__checks__entities_unique_sql": CHECK.format("entities")},
            "checks/entities_unique.sql:1",
            "acme/checks/entities_unique.sql:1",
        ),
    ],
)
def test_a_name_that_is_declared_twice_names_both_places(
    files: dict[str, str], first: str, second: str, tmp_path: Path
) -> None:
    error = refused(tmp_path, **files)
    assert "is declared twice: in " in error
    assert 0 < error.index(first) < error.index(second)
    assert error.endswith("Rename or remove one of them.")


def test_two_datasets_do_not_share_a_table(tmp_path: Path) -> None:
    error = refused(tmp_path, acme__datasets__more_py=DATASET.format("parcels", "entities"))
    assert (
        "acme/datasets/more.py:9: the dataset 'parcels' has the table 'entities', which is that of 'entities'" in error
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import pipeline_project\n\n1 / 0\n", "acme/sources/shop.py:3: ZeroDivisionError: division by zero."),
        ("def f(:\n", "acme/sources/shop.py:1: SyntaxError: "),
        ("import nowhere_to_be_found\n", "acme/sources/shop.py:1: ModuleNotFoundError: No module named"),
        (SOURCE.format("Shop"), "acme/sources/shop.py:4: ValueError: source 'Shop': "),
        ("import sys\nsys.exit(3)\n", "acme/sources/shop.py:2: SystemExit: 3."),
        ("x = 1\n", "acme/sources/shop.py:1: this module declares no Source. Add one"),
    ],
)
def test_a_plugin_that_fails_at_import_names_its_line_and_a_remedy(text: str, told: str, tmp_path: Path) -> None:
    error = refused(tmp_path, acme__sources__shop_py=text)
    assert f"{tmp_path}/{told}" in error
    assert "Add one" in error or error.endswith("Correct the plug-in, or remove it, and start again.")


def test_a_check_without_a_table_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, acme__checks__c_sql=CHECK.format("nonsense"))
    assert f"{tmp_path}/acme/checks/c.sql:1: the check names no table." in error


def test_a_module_with_an_underscore_is_no_plugin(tmp_path: Path) -> None:
    found = start(tmp_path, "acme", acme__sources___shared_py="1 / 0\n", acme__sources__shop_py=SOURCE.format("shop"))
    assert "shop" in found["sources"]


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("nowhere", "is not a folder. Name a folder that exists, or unset the variable."),
        ("empty", "has no plug-ins. Name the folder that holds sources/, datasets/"),
        ("json", "already has the name json. Rename the folder."),
        ("my-plugins", "Python cannot import this name. Rename the folder"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(folder: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    place = tmp_path / "below"
    for name in ("json", "my-plugins"):
        (place / name / "sources").mkdir(parents=True)
        (place / name / "sources" / "shop.py").write_text(SOURCE.format("shop"), "utf-8")
    found = start(tmp_path, str((place if (place / folder).exists() else tmp_path) / folder))
    assert told in str(found["error"])
