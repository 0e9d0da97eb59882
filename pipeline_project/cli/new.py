"""`pipeline new`: writes a source, a dataset or an operation with its test, as a beginning."""

from importlib.resources import files
from keyword import iskeyword
from pathlib import Path
from string import Template
from typing import Annotated, Literal

import typer

from pipeline_project import plugins
from pipeline_project.analytics.catalogue import operations
from pipeline_project.datasets.registry import datasets
from pipeline_project.errors import Permanent
from pipeline_project.schema.dataset import IDENTIFIER
from pipeline_project.sources.registry import sources
from pipeline_project.terminal import console, plain

Kind = Literal["source", "dataset", "operation"]
TEMPLATES = files("pipeline_project.cli") / "templates"
WRITTEN: dict[Kind, dict[str, str]] = {
    "source": {"sources/{}.py": "source.py", "tests/test_source_{}.py": "test_source.py"},
    "dataset": {"datasets/{}.py": "dataset.py", "tests/test_dataset_{}.py": "test_dataset.py"},
    "operation": {
        "operations/{}.py": "operation.py",
        "operations/{}.sql": "operation.sql",
        "tests/test_operation_{}.py": "test_operation.py",
    },
}
"""Files of each kind, with their templates."""
ONCE = {
    "__init__.py": "package.py",
    "conftest.py": "conftest.py",
    "tests/__init__.py": "tests_package.py",
    "tests/test_contract.py": "test_contract.py",
}
"""Files that a folder of plug-ins has once."""
NEXT: dict[Kind, str] = {
    "source": (
        "Replace the names of the fields in {folder}/sources/{name}.py by those of the source.\n"
        "Put a file that the source sent into {folder}/samples/{name}-data/: the contract tests load it.\n"
        "Then upload files to {name}-data/ in the landing bucket."
    ),
    "dataset": (
        "Declare the fields in {folder}/datasets/{name}.py.\n"
        "Make its table: pipeline migrations make {name} --folder {folder}/migrations\n"
        "A source sends its records to <source>-data/{name}/ in the landing bucket."
    ),
    "operation": (
        "Write the question in {folder}/operations/{name}.sql, and its parameters in {folder}/operations/{name}.py.\n"
        "Then run: pipeline query {name}"
    ),
}


def new(
    kind: Annotated[Kind, typer.Argument(help="What to write.")],
    name: Annotated[str, typer.Argument(help="Its name, for example `shop`, `invoices` or `open_invoices`.")],
    folder: Annotated[
        Path | None,
        typer.Option(help="The folder of plug-ins. It is made if it does not exist. Default: PIPELINE_PLUGINS."),
    ] = None,
) -> None:
    """Write a source, a dataset or an operation with its test. Use it to begin your own."""
    folder = folder or plugins.folder()
    if folder is None:
        raise Permanent("no folder of plug-ins is named. Add --folder, for example --folder company.")
    folder = folder.expanduser().resolve()
    written = write(kind, name, folder)
    shown = console()
    for path in written:
        shown.print(plain(f"wrote {path}"))
    for line in NEXT[kind].splitlines():
        shown.print(plain(line.format(folder=folder, name=name)))
    shown.print(plain(f"Test with: pytest {folder}"))
    if plugins.folder() != folder:
        shown.print(plain(f"Use with: export PIPELINE_PLUGINS={folder}"))


def write(kind: Kind, name: str, folder: Path) -> list[Path]:
    """Write the files and return their paths. Permanent if a name is not valid or taken, and nothing is written then."""
    _refuse(kind, name, folder.name)
    values = {
        "name": name,
        "Class": "".join(part.capitalize() for part in name.split("_")),
        "CONSTANT": name.upper(),
        "package": folder.name,
    }
    texts = {folder / path.format(name): _filled(template, values) for path, template in WRITTEN[kind].items()}
    if existing := [str(path) for path in texts if path.exists()]:
        raise Permanent(f"{', '.join(existing)}: the file exists, and nothing was written. Choose another name.")
    once = {folder / path: _filled(template, values) for path, template in ONCE.items()}
    texts |= {path: text for path, text in once.items() if not path.exists()}
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return sorted(texts)


def _refuse(kind: Kind, name: str, package: str) -> None:
    known = {"source": sources, "dataset": datasets, "operation": operations}[kind]()
    is_name = IDENTIFIER.fullmatch(name) and not iskeyword(name)
    if not is_name or (kind == "source" and "_" in name):
        allowed = "lower-case letters and digits" + ("" if kind == "source" else " and underscores")
        raise Permanent(f"{name!r} cannot be the name of this {kind}. Use {allowed}, and begin with a letter.")
    if name in known:
        raise Permanent(f"the {kind} {name!r} exists already. Choose another name.")
    if not package.isidentifier() or iskeyword(package):
        raise Permanent(f"Python cannot import a folder {package!r}. Use letters, digits and underscores.")


def _filled(template: str, values: dict[str, str]) -> str:
    return Template((TEMPLATES / f"{template}.template").read_text("utf-8")).substitute(values)
