"""The tables, as assets that the ingest runs fill: each run says which of them it wrote to."""

from collections.abc import Collection

import dagster as dg

from pipeline_project.canonical.tables import columns, row_estimates, tables
from pipeline_project.database import Connection
from pipeline_project.orchestration.names import CANONICAL, OWNERS, ingest_key, table_key
from pipeline_project.orchestration.presentation.columns import table_lineage
from pipeline_project.sources.registry import sources


def table_assets() -> list[dg.AssetSpec]:
    return [
        dg.AssetSpec(
            table_key(table),
            deps=[ingest_key(source) for source in sources()],
            description=table.description,
            group_name=CANONICAL,
            kinds={"postgres", "table"},
            owners=OWNERS,
            metadata={"dagster/table_name": f"{table.schema}.{table.name}", **table_lineage(table)},
        )
        for table in tables()
    ]


def log_tables(context: dg.AssetExecutionContext, connection: Connection, datasets: Collection[str]) -> None:
    """Note in the run that it wrote to the tables of these datasets, with their sizes."""
    touched = [table for table in tables() if table.dataset in (None, *datasets)]
    rows = row_estimates(connection, touched)
    for table in touched:
        schema = [
            dg.TableColumn(
                column.name,
                column.type,
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in columns(connection, table)
        ]
        metadata = {"dagster/row_count": rows[table.name], "dagster/column_schema": dg.TableSchema(schema)}
        context.log_event(dg.AssetMaterialization(table_key(table), metadata=metadata))
