"""`pipeline datasets`: shows the declared datasets and their SQL."""

import sys
from typing import Annotated

import typer
from pydantic.fields import FieldInfo

from pipeline_project.datasets.registry import datasets
from pipeline_project.errors import Permanent
from pipeline_project.schema.dataset import Dataset
from pipeline_project.schema.fields import aliases
from pipeline_project.schema.templates import statement, statements
from pipeline_project.sources.registry import sources
from pipeline_project.terminal import print_line, print_table

app = typer.Typer(help="Show datasets, their fields and their SQL.")

DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="Name of a dataset, as `pipeline datasets` lists it.")
]


@app.callback(invoke_without_command=True)
def list_datasets(context: typer.Context) -> None:
    """List the datasets. Use `show` for the fields of a dataset, and `sql` for its statements."""
    if context.invoked_subcommand is not None:
        return
    rows = [
        (each.name, each.kind_name, f"canonical.{each.table}", ", ".join(each.key), len(each.fields), each.description)
        for each in datasets().values()
    ]
    print_table("dataset", "kind", "table", "key", "fields", "description", rows=rows)


@app.command("show")
def show_dataset(name: DatasetArgument) -> None:
    """Show the fields of a dataset: type, description, and the names that each source has for it. The first name wins."""
    dataset = _dataset(name)
    models = {source.name: source.record(name) for source in sources().values()}
    columns = {each.field: each for each in dataset.columns}
    own = dict.fromkeys([*dataset.fields, "updated_at"])
    rows: list[tuple[object, ...]] = []
    for field in [
        *own,
        *dict.fromkeys(each for model in models.values() for each in model.model_fields if each not in own),
    ]:
        names = [
            _names(model.model_fields[field], field) if field in model.model_fields else "" for model in models.values()
        ]
        if column := columns.get(field):
            not_null = " not null" if column.not_null else ""
            rows.append((field, column.name, f"{column.type}{not_null}", column.description, *names))
        else:
            rows.append((field, "", "", _without_column(dataset, field), *names))
    print_table("field", "column", "type", "description", *models, rows=rows, title=dataset.description)
    for rule in dataset.rules:
        print_line(f"{rule.field} {rule.message}")


@app.command("sql")
def show_sql(
    name: DatasetArgument,
    wanted: Annotated[
        str | None, typer.Argument(metavar="STATEMENT", help="For example merge. Default: list them.")
    ] = None,
) -> None:
    """Print a statement as it runs for a dataset, with the dataset's names in place of the template's."""
    dataset = _dataset(name)
    names = statements(dataset)
    if wanted is None:
        for each in names:
            print_line(each)
        return
    found = [each for each in names if wanted in (each, each.rpartition("/")[2])]
    if len(found) != 1:
        raise Permanent(f"There is no statement {wanted!r} for {name}. Name one of {', '.join(names)}.")
    sys.stdout.write(statement(found[0], dataset).decode())


def _dataset(name: str) -> Dataset:
    if name not in datasets():
        raise Permanent(f"There is no dataset {name!r}. Name one of {', '.join(datasets())}.")
    return datasets()[name]


def _without_column(dataset: Dataset, field: str) -> str:
    if field == "updated_at":
        return "When the source last changed the record; becomes `source_updated_at`"
    if field in dataset.record.model_fields:
        return dataset.record.model_fields[field].description or ""
    return f"Only of this source; goes to `{dataset.rest.name}`" if dataset.rest else "Only of this source"


def _names(field: FieldInfo, name: str) -> str:
    return ", ".join(dict.fromkeys(".".join(path) for path in aliases(name, field)))
