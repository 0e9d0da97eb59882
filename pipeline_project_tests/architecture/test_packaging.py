"""What pyproject.toml says of the wheel is what there is."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_wheel_has_every_package_and_the_sql_files() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    folders = {path.parent for path in (ROOT / "pipeline_project").rglob("__init__.py")}
    packages = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(declared["packages"]) == packages | {"pipeline_project._sql"}
    assert declared["package-dir"] == {"pipeline_project._sql": "sql"}
