"""Columns of the assets, and the columns that each comes from.

They are derived from the models of the sources and from the SQL of the operations, so they cannot be out of date. A source
sends several datasets to one asset. Its columns are therefore named `dataset/field`, like the folders of its objects.
"""

import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

import dagster as dg
from pydantic.fields import FieldInfo

from pipeline_project.analytics.catalogue import Operation
from pipeline_project.analytics.lineage import column_lineage
from pipeline_project.canonical.relations import relations
from pipeline_project.canonical.tables import Table, tables
from pipeline_project.datasets.registry import datasets
from pipeline_project.orchestration.names import ingest_key, landing_key, table_key
from pipeline_project.schema.fields import aliases
from pipeline_project.sources.registry import sources
from pipeline_project.sources.source import Source


def record_columns(source: Source) -> dict[str, Any]:
    """Return schema and lineage of a source's records, as metadata of its asset: fields, and the aliases that they come from."""
    landing = landing_key(source.name)
    fields = list(_fields(source))
    lineage = {
        f"{dataset}/{name}": [dg.TableColumnDep(landing, f"{dataset}/{alias}") for alias in _paths(name, field)]
        for dataset, name, field in fields
    }
    return {
        "dagster/column_schema": dg.TableSchema([_column(*each) for each in fields]),
        "dagster/column_lineage": dg.TableColumnLineage(lineage),
    }


def landing_columns(source: Source) -> dict[str, Any]:
    """Return every alias that the source may use."""
    known = [
        dg.TableColumn(f"{dataset}/{alias}", _type_name(field), description=f"Becomes `{name}`.")
        for dataset, name, field in _fields(source)
        for alias in _paths(name, field)
    ]
    return {"dagster/column_schema": dg.TableSchema(known)}


def table_lineage(table: Table) -> dict[str, Any]:
    """Return the fields that each column of a table is loaded from. A table about all datasets has no such fields."""
    if table.dataset is None:
        return {}
    dataset = datasets()[table.dataset]
    [relation] = [each for each in relations(dataset) if (each.schema, each.name) == (table.schema, table.name)]
    names = {column.name for column in relation.columns}
    lineage = {
        column.name: [dg.TableColumnDep(ingest_key(source), f"{dataset.name}/{column.field}") for source in sources()]
        for column in dataset.columns
        if column.field is not None and column.name in names
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(lineage)}


def result_lineage(operation: Operation) -> dict[str, Any]:
    """Return the columns of tables that each column of a result comes from. A view has the name of its table."""
    keys = {table.name: table_key(table) for table in tables()}
    lineage = {
        name: [dg.TableColumnDep(keys[each.view], each.column) for each in sorted(found) if each.view in keys]
        for name, found in column_lineage(operation.statement).items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(lineage)}


def _fields(source: Source) -> Iterator[tuple[str, str, FieldInfo]]:
    """Yield the fields of all records that a source may send, each with its dataset and name."""
    for dataset in datasets():
        for name, field in source.record(dataset).model_fields.items():
            yield dataset, name, field


def _paths(name: str, field: FieldInfo) -> list[str]:
    """Return the aliases of a field. A path into a nested object has dots, as in the declaration."""
    return list(dict.fromkeys(".".join(path) for path in aliases(name, field)))


def _column(dataset: str, name: str, field: FieldInfo) -> dg.TableColumn:
    constraints = dg.TableColumnConstraints(nullable=not field.is_required())
    described = _description(dataset, name, field)
    return dg.TableColumn(f"{dataset}/{name}", _type_name(field), description=described, constraints=constraints)


def _description(dataset: str, name: str, field: FieldInfo) -> str | None:
    """Return the description of the dataset. A source that only adds aliases to the field does not repeat it."""
    declared = datasets()[dataset].record.model_fields
    return field.description or (declared[name].description if name in declared else None)


def _type_name(field: FieldInfo) -> str:
    """Return the name of the bare type, for example `Decimal` for `Annotated[Decimal, …] | None`."""
    kind: Any = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(each for each in get_args(kind) if each is not type(None))
    while hasattr(kind, "__metadata__"):
        kind = get_args(kind)[0]
    return getattr(kind, "__name__", str(kind))
