"""Columns of the assets, and where each comes from: told by the sources' own models and the operations' own SQL, so it
cannot be out of date.
"""

import types
from typing import Any, Union, get_args, get_origin

import dagster as dg
from pydantic.fields import FieldInfo

from pipeline_project.analytics.catalogue import Operation
from pipeline_project.analytics.lineage import column_lineage
from pipeline_project.canonical.tables import Table, tables
from pipeline_project.datasets.registry import datasets
from pipeline_project.orchestration.names import ingest_key, landing_key, table_key
from pipeline_project.schema.fields import aliases
from pipeline_project.sources.registry import sources
from pipeline_project.sources.source import Source


def record_columns(source: Source) -> dict[str, Any]:
    """Schema and lineage of a source's records, as metadata of its asset: canonical fields from the source's spellings."""
    fields = source.record("entities").model_fields
    landing = landing_key(source.name)
    lineage = {
        name: [dg.TableColumnDep(landing, spelling) for spelling in _written(name, field)]
        for name, field in fields.items()
    }
    return {
        "dagster/column_schema": dg.TableSchema([_column(name, field) for name, field in fields.items()]),
        "dagster/column_lineage": dg.TableColumnLineage(lineage),
    }


def landing_columns(source: Source) -> dict[str, Any]:
    """Every spelling that the source may use."""
    known = [
        dg.TableColumn(spelling, _type_name(field), description=f"Becomes `{name}`.")
        for name, field in source.record("entities").model_fields.items()
        for spelling in _written(name, field)
    ]
    return {"dagster/column_schema": dg.TableSchema(known)}


def table_lineage(table: Table) -> dict[str, Any]:
    """Columns that a table has under the name of a field of the records that it is loaded from."""
    if table.dataset != "entities":
        return {}
    lineage: dict[str, list[dg.TableColumnDep]] = {}
    for source in sources().values():
        for name in source.record("entities").model_fields:
            lineage.setdefault(name, []).append(dg.TableColumnDep(ingest_key(source.name), name))
    return {"dagster/column_lineage": dg.TableColumnLineage(lineage)}


def result_lineage(operation: Operation) -> dict[str, Any]:
    """Columns of a result from those of the tables behind the views; a view is named after its table."""
    keys = {table.name: table_key(table) for table in tables()}
    lineage = {
        name: [dg.TableColumnDep(keys[each.view], each.column) for each in sorted(found) if each.view in keys]
        for name, found in column_lineage(operation.statement).items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(lineage)}


def _written(name: str, field: FieldInfo) -> list[str]:
    """A field's spellings; a path into a nested object with dots, in which way it may be written, too."""
    return list(dict.fromkeys(".".join(path) for path in aliases(name, field)))


def _column(name: str, field: FieldInfo) -> dg.TableColumn:
    constraints = dg.TableColumnConstraints(nullable=not field.is_required())
    return dg.TableColumn(name, _type_name(field), description=_description(name, field), constraints=constraints)


def _description(name: str, field: FieldInfo) -> str | None:
    """The dataset describes the field. A source that only has its own names for the field does not repeat the description."""
    declared = datasets()["entities"].record.model_fields
    return field.description or (declared[name].description if name in declared else None)


def _type_name(field: FieldInfo) -> str:
    """`Decimal` of `Annotated[Decimal, …] | None`."""
    kind: Any = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(each for each in get_args(kind) if each is not type(None))
    while hasattr(kind, "__metadata__"):
        kind = get_args(kind)[0]
    return getattr(kind, "__name__", str(kind))
