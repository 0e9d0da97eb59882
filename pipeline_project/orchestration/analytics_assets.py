"""One asset for each operation of the catalogue, with its default parameters: refreshed on a schedule, kept in S3 under
`analytics/<operation>/`, `latest` and history.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from pipeline_project.analytics.catalogue import OPERATIONS, Operation
from pipeline_project.analytics.execution import execute
from pipeline_project.canonical.tables import TABLES
from pipeline_project.orchestration.names import ANALYTICS, OWNERS, result_key, table_key
from pipeline_project.orchestration.resources import Platform
from pipeline_project.orchestration.retries import retried
from pipeline_project.results.encoders import Format
from pipeline_project.results.store import Manifest, refresh

ANALYTICS_POOL = "analytics"
DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=26))
MONTHLY = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=32))
REFRESH = (
    dg.AutomationCondition.any_deps_updated().since_last_handled() & ~dg.AutomationCondition.in_progress()
).with_label("new data")
AUTOMATION_SECONDS = 300
"""How often it is looked for new data: results are refreshed no more often than that."""


def refreshed_operations() -> list[Operation]:
    """Those that can be run with nothing but defaults."""
    return [
        operation
        for operation in OPERATIONS.values()
        if not any(field.is_required() for field in operation.parameters.model_fields.values())
    ]


def analytics_assets() -> list[dg.AssetsDefinition]:
    return [_analytics_asset(operation) for operation in refreshed_operations()]


def refresh_sensor() -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        "refresh_on_new_data",
        target=dg.AssetSelection.groups(ANALYTICS),
        minimum_interval_seconds=AUTOMATION_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Refreshes the results that are quick to make, once new data has come.",
    )


def _analytics_asset(operation: Operation) -> dg.AssetsDefinition:
    @dg.asset(
        key=result_key(operation.name),
        deps=[table_key(table) for table in TABLES],
        group_name=ANALYTICS,
        kinds={"sql", "postgres", "s3"},
        owners=OWNERS,
        pool=ANALYTICS_POOL,
        freshness_policy=MONTHLY if operation.long else DAILY,
        automation_condition=None if operation.long else REFRESH,
        description=f"{operation.summary}\n\n{operation.description}",
    )
    def result(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:
        with retried(context):
            started = time.monotonic()
            parameters = operation.validate({})
            timeout = platform.settings.job_timeout_seconds
            with execute(platform.reader, operation, parameters, timeout_seconds=timeout) as rows:
                bucket = platform.settings.results_bucket
                manifest = refresh(platform.s3, bucket, rows, Format.JSON, datetime.now(UTC))
            return dg.MaterializeResult(metadata=_metadata(manifest, bucket, time.monotonic() - started))

    return result


def _metadata(manifest: Manifest, bucket: str, seconds: float) -> dict[str, Any]:
    columns = [dg.TableColumn(column.name, column.type) for column in manifest.columns]
    return {
        "dagster/row_count": manifest.rows,
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "dagster/uri": f"s3://{bucket}/{manifest.key}",
        "bytes": manifest.bytes,
        "seconds": round(seconds, 3),
        "data version": manifest.data_version,
        "parameters": manifest.parameters,
        "sha256": manifest.sha256,
    }
