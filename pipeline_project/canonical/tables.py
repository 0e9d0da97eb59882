"""The tables that hold what was loaded, as other parts of the platform speak of them."""

from collections.abc import Collection, Iterator
from functools import cache
from typing import NamedTuple

from pipeline_project.database import Connection
from pipeline_project.datasets.registry import BUILT_IN, datasets
from pipeline_project.schema.dataset import Dataset, Versioned
from pipeline_project.schema.sql_files import query


class Column(NamedTuple):
    """A column of a table, with PostgreSQL's name of its type."""

    name: str
    type: str
    nullable: bool


class Table(NamedTuple):
    """A table; `dataset` is the one whose records it holds, None if it holds something about all of them."""

    schema: str
    name: str
    dataset: str | None
    description: str


_BUILT_IN = (
    Table("canonical", "entities", "entities", "Current state of every customer, supplier and account."),
    Table("canonical", "entity_versions", "entities", "The states before the current one, each with its validity."),
    Table("canonical", "entity_relationships", "relationships", "Typed edges between entities, with validity."),
    Table("canonical", "time_series_data", "metrics", "Values of metrics by entity and day, partitioned by month."),
    Table("ingest", "objects", None, "The ledger: every object that was ever seen, and what became of it."),
    Table("ingest", "rejects", None, "Rows that could not be loaded, as they were sent, with what is wrong with them."),
)
[LEDGER] = [table for table in _BUILT_IN if table.name == "objects"]


@cache
def tables() -> tuple[Table, ...]:
    """Return all tables: those of the platform, and those of the datasets that plug-ins declare."""
    added = [table for dataset in datasets().values() if dataset not in BUILT_IN for table in _tables_of(dataset)]
    return (*_BUILT_IN, *added)


def _tables_of(dataset: Dataset) -> Iterator[Table]:
    yield Table("canonical", dataset.table, dataset.name, dataset.description)
    if isinstance(dataset.kind, Versioned):
        schema, name = dataset.kind.versions.split(".")
        yield Table(schema, name, dataset.name, f"Earlier versions of {dataset.name}, each with its validity.")


def row_estimates(connection: Connection, tables: Collection[Table]) -> dict[str, int]:
    """Rows by table name, as PostgreSQL's statistics have it: a moment old, and free."""
    parameters = {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]}
    return dict(connection.execute(query("canonical/row_estimates"), parameters).fetchall())


def columns(connection: Connection, table: Table) -> list[Column]:
    parameters = {"schema": table.schema, "name": table.name}
    return [Column(*row) for row in connection.execute(query("canonical/columns"), parameters)]


def make_months_ahead(connection: Connection, months: int) -> int:
    """Make the partitions for metrics of this month and of so many after it; how many were missing."""
    row = connection.execute(query("canonical/months_ahead"), {"months": months}).fetchone()
    return row[0] if row else 0
