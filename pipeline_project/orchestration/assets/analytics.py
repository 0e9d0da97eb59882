"""One asset for each operation of the catalogue, with its default parameters: refreshed on a schedule, kept in S3 under
`analytics/<operation>/`, `latest` and history.
"""

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from pipeline_project.analytics.catalogue import Operation, operations
from pipeline_project.analytics.execution import Column, Row, execute
from pipeline_project.analytics.plots import plot
from pipeline_project.canonical.tables import LEDGER, Table, tables
from pipeline_project.orchestration.names import ANALYTICS, ANALYTICS_POOL, OWNERS, result_key, table_key
from pipeline_project.orchestration.presentation.columns import result_lineage
from pipeline_project.orchestration.presentation.images import image
from pipeline_project.orchestration.presentation.markdown import markdown_table
from pipeline_project.orchestration.retries import retried
from pipeline_project.results.options import Format
from pipeline_project.results.store import Manifest, refresh
from pipeline_project.results.texts import as_text
from pipeline_project.services import Services
from pipeline_project.settings import Settings

DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=26))
MONTHLY = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=32))
REFRESH = (
    # Every load writes to the ledger; what it has touched, the other tables tell. Only a request makes it old news: data
    # that came after one was made waits for the next, whatever has become of the result meanwhile.
    dg.AutomationCondition.any_deps_match(dg.AutomationCondition.newly_updated())
    .ignore(dg.AssetSelection.assets(table_key(LEDGER)))
    .since(dg.AutomationCondition.newly_requested())
    & ~dg.AutomationCondition.in_progress()
    # Once the check passes, it is made up for by itself.
    & ~dg.AutomationCondition.any_deps_match(
        dg.AutomationCondition.any_checks_match(dg.AutomationCondition.check_failed(), blocking_only=True)
    )
).with_label("new data")
PREVIEWED = 20
PLOTTED = 5_000
"""Rows that are kept in memory for the picture; a result may have millions."""
AUTOMATION_SECONDS = 300
"""How often it is looked for new data: results are refreshed no more often than that."""


def refreshed_operations() -> list[Operation]:
    """Those that can be run with nothing but defaults."""
    return [
        operation
        for operation in operations().values()
        if not any(field.is_required() for field in operation.parameters.model_fields.values())
    ]


def analytics_assets() -> list[dg.AssetsDefinition]:
    return [_analytics_asset(operation) for operation in refreshed_operations()]


def tables_read(operation: Operation) -> list[Table]:
    """The tables behind the views that its SQL reads: a view is named after its table."""
    named = set(re.findall(rb"analytics\.(\w+)", operation.statement))
    return [table for table in tables() if table.name.encode() in named]


def refresh_sensor() -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        "refresh_on_new_data",
        target=dg.AssetSelection.groups(ANALYTICS),
        minimum_interval_seconds=AUTOMATION_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Refreshes the results that are quick to make, once new data has come. Not while a blocking check fails.",
    )


def _analytics_asset(operation: Operation) -> dg.AssetsDefinition:
    @dg.asset(
        key=result_key(operation.name),
        # The ledger too: where its blocking checks fail, neither the clock nor new data makes a result. A person may.
        deps=[table_key(table) for table in dict.fromkeys([*tables_read(operation), LEDGER])],
        group_name=ANALYTICS,
        kinds={"sql", "postgres", "s3"},
        owners=OWNERS,
        pool=ANALYTICS_POOL,
        freshness_policy=MONTHLY if operation.monthly else DAILY,
        automation_condition=None if operation.long or operation.monthly else REFRESH,
        description=f"{operation.summary}\n\n{operation.description}",
        metadata=result_lineage(operation),
    )
    def result(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Services]) -> dg.MaterializeResult:
        with retried(context):
            return dg.MaterializeResult(metadata=_refresh(platform, operation))

    return result


def _refresh(platform: Services, operation: Operation) -> dict[str, Any]:
    """Write the result to S3; the metadata of its materialization."""
    settings, started = platform.settings, time.monotonic()
    timeout = settings.job_timeout_seconds
    with execute(platform.reader, operation, operation.validate({}), timeout_seconds=timeout) as rows:
        first = rows.keep_first(PLOTTED)
        manifest = refresh(platform.s3, settings.results_bucket, rows, Format.JSON, datetime.now(UTC))
    metadata = {
        **_told(manifest, settings, time.monotonic() - started),
        "preview": _preview(manifest.columns, first),
        "plot": image("png", plot(operation.name, manifest.columns, first)),
    }
    if manifest.rows > len(first):
        metadata["plot"] = dg.MetadataValue.md(f"{metadata['plot'].value}\n\nOf the first {len(first):,} rows.")
    return metadata


def _told(manifest: Manifest, settings: Settings, seconds: float) -> dict[str, Any]:
    schema = dg.TableSchema([dg.TableColumn(column.name, column.type) for column in manifest.columns])
    told = {
        "dagster/row_count": manifest.rows,
        "dagster/column_schema": schema,
        "dagster/uri": f"s3://{settings.results_bucket}/{manifest.key}",
        "bytes": manifest.bytes,
        "seconds": round(seconds, 3),
        "rows per second": round(manifest.rows / seconds) if seconds else 0,
        "data version": manifest.data_version,
        "parameters": manifest.parameters,
        "sha256": manifest.sha256,
    }
    if settings.api_url:
        # Not a presigned link, which would be stored and soon be dead: REST makes one each time.
        told["result"] = dg.MetadataValue.url(f"{settings.api_url.rstrip('/')}/download/{manifest.key}")
    return told


def _preview(columns: Sequence[Column], rows: Sequence[Row]) -> dg.MarkdownMetadataValue:
    shown = [["" if value is None else as_text(value) for value in row] for row in rows[:PREVIEWED]]
    return dg.MetadataValue.md(markdown_table([column.name for column in columns], shown))
