"""The tables that hold loaded data: their names, descriptions, columns and sizes."""

from collections.abc import Collection
from functools import cache
from typing import NamedTuple

from pipeline_project.canonical.relations import relations
from pipeline_project.database import Connection
from pipeline_project.datasets.registry import datasets
from pipeline_project.schema.sql_files import query


class Column(NamedTuple):
    """A column of a table, with PostgreSQL's name of its type."""

    name: str
    type: str
    nullable: bool
    description: str | None
    """The comment, which the declaration of the dataset gives."""


class Table(NamedTuple):
    """A table. `dataset` is the dataset of its rows. None: it has rows about all datasets."""

    schema: str
    name: str
    dataset: str | None
    description: str


LEDGER = Table("ingest", "objects", None, "The ledger: every object that was discovered, and its state.")
REJECTS = Table("ingest", "rejects", None, "Records that could not be loaded, as they were sent, with their errors.")


@cache
def tables() -> tuple[Table, ...]:
    """Return all tables: those of the datasets, and those about all of them. Confirmations are internal and left out."""
    of_datasets = [
        Table(relation.schema, relation.name, dataset.name, relation.description)
        for dataset in datasets().values()
        for relation in relations(dataset)
        if relation.kind == "table" and relation.primary_key  # confirmations have none
    ]
    return (*of_datasets, LEDGER, REJECTS)


def row_estimates(connection: Connection, tables: Collection[Table]) -> dict[str, int]:
    """Return the number of rows by table, from PostgreSQL's statistics. The numbers are slightly old and cost no scan."""
    parameters = {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]}
    return dict(connection.execute(query("canonical/row_estimates"), parameters).fetchall())


def columns(connection: Connection, table: Table) -> list[Column]:
    """Return the columns of a table, as the database has them."""
    parameters = {"schema": table.schema, "name": table.name}
    return [Column(*row) for row in connection.execute(query("canonical/columns"), parameters)]


def make_months_ahead(connection: Connection, months: int) -> int:
    """Create the partitions of metrics for this month and the following `months`. Return how many were missing."""
    row = connection.execute(query("canonical/months_ahead"), {"months": months}).fetchone()
    return row[0] if row else 0
