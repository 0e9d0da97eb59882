"""`pipeline new`: what it writes works as it is, and it never overwrites."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_project.cli.new import WRITTEN, Kind, write
from pipeline_project.errors import Permanent

NAMES: dict[Kind, str] = {"source": "kiosk", "dataset": "parcels", "operation": "by_country"}


@pytest.mark.slow
def test_what_it_writes_passes_its_tests_as_it_is(tmp_path: Path) -> None:
    for kind in WRITTEN:
        write(kind, NAMES[kind], tmp_path / "company")
    environment = {name: value for name, value in os.environ.items() if name != "PIPELINE_PLUGINS"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "company"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


def test_it_refuses_to_overwrite_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "company" / "tests").mkdir(parents=True)
    mine = tmp_path / "company" / "tests" / "test_operation_weights.py"
    mine.write_text("mine\n", "utf-8")
    with pytest.raises(Permanent, match=r"weights\.py: the file exists, and nothing was written"):
        write("operation", "weights", tmp_path / "company")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text("utf-8") == "mine\n"


def test_a_second_one_leaves_what_a_folder_has_once(tmp_path: Path) -> None:
    write("source", "kiosk", tmp_path / "company")
    (tmp_path / "company" / "conftest.py").write_text("mine\n", "utf-8")
    write("operation", "weights", tmp_path / "company")
    assert (tmp_path / "company" / "conftest.py").read_text("utf-8") == "mine\n"


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("source", "my_shop", "'my_shop' cannot be the name of this source. Use lower-case letters and digits, and"),
        ("source", "../shop", "cannot be the name of this source"),
        (
            "dataset",
            "Invoices",
            "cannot be the name of this dataset. Use lower-case letters and digits and underscores",
        ),
        ("dataset", "class", "cannot be the name of this dataset"),
        ("operation", "", "cannot be the name of this operation"),
        ("source", "crm", "the source 'crm' exists already. Choose another name."),
        ("dataset", "metrics", "the dataset 'metrics' exists already"),
        ("operation", "simple_demo", "the operation 'simple_demo' exists already"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(kind: Kind, name: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(Permanent) as refused:
        write(kind, name, tmp_path / "company")
    assert told in str(refused.value)
    assert not (tmp_path / "company").exists()


def test_a_folder_that_python_cannot_import_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="Python cannot import a folder 'my-company'"):
        write("source", "kiosk", tmp_path / "my-company")
