"""One asset for each source: its objects, loaded into the canonical tables. Partitioned by the day of arrival (UTC); the
ledger, and not Dagster, knows each object.
"""

import time
import warnings
from collections import Counter
from datetime import date, timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from pipeline_project import logs, tracing
from pipeline_project.datasets.registry import datasets
from pipeline_project.ingest.inspection import report
from pipeline_project.ingest.ledger import Outcome, arrivals
from pipeline_project.ingest.loading import Worker
from pipeline_project.notify import metrics
from pipeline_project.orchestration.assets.landing import log_objects
from pipeline_project.orchestration.assets.tables import log_tables
from pipeline_project.orchestration.names import (
    CANONICAL,
    INGEST_JOB,
    INGEST_POOL,
    OWNERS,
    SOURCE_TAG,
    ingest_key,
    landing_key,
)
from pipeline_project.orchestration.presentation.columns import record_columns
from pipeline_project.orchestration.presentation.images import counts_plot, image
from pipeline_project.orchestration.presentation.markdown import (
    columns_table,
    drift_table,
    faults_table,
    markdown_table,
    outcomes_table,
)
from pipeline_project.orchestration.retries import retried
from pipeline_project.services import Services
from pipeline_project.sources.registry import sources
from pipeline_project.sources.source import Source

ARRIVAL_DAY = dg.DailyPartitionsDefinition(start_date="2025-01-01", timezone="UTC", end_offset=1)
DAYS_A_RUN = 31
"""Days of a backfill in one run. Most days are small, and a run for each would cost more than the load."""
SILENCE = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=7), warn_window=timedelta(days=2))
"""Time after which a source without new files is reported: a warning, then a failure."""
WHOLE_OBJECTS = "whole_objects"
REJECT_RATE = "reject_rate"
TOLERATED_REJECTS = 0.01
"""Share of rejected rows in a batch above which the check warns. Above the source's own threshold, the file fails."""


class IngestConfig(dg.Config):
    """The objects to load."""

    object_ids: list[int] = Field(
        default=[],
        description=(
            "IDs from the ledger. Objects that are already loaded are skipped. Without IDs, all objects that arrived on the "
            "day of the partition are loaded again, for example after a mapping was corrected."
        ),
    )


def ingest_assets() -> list[dg.AssetsDefinition]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # backfill_policy
        return [_ingest_asset(source) for source in sources().values()]


def ingest_job():  # the type of its result is private to dagster
    return dg.define_asset_job(
        INGEST_JOB,
        selection=dg.AssetSelection.assets(*(ingest_key(source) for source in sources())),
        description="Loads objects. The landing sensors request its runs.",
    )


def _ingest_asset(source: Source) -> dg.AssetsDefinition:
    key = ingest_key(source.name)

    @dg.asset(
        key=key,
        deps=[landing_key(source.name)],
        group_name=CANONICAL,
        partitions_def=ARRIVAL_DAY,
        backfill_policy=dg.BackfillPolicy.multi_run(DAYS_A_RUN),
        kinds={"python", "postgres"},
        owners=OWNERS,
        tags={SOURCE_TAG: source.name},
        pool=INGEST_POOL,
        code_version=_code_version(source),
        freshness_policy=SILENCE,
        metadata={**record_columns(source)},
        description=(
            f"{source.description}, loaded into the canonical tables: decoded, validated, mapped and merged, one "
            "transaction for each object. A partition is the day on which objects arrived. Materializing a partition "
            "without configuration replays all objects of that day."
        ),
        check_specs=[
            dg.AssetCheckSpec(WHOLE_OBJECTS, asset=key, description="Every object of the batch could be loaded."),
            dg.AssetCheckSpec(
                REJECT_RATE, asset=key, description=f"At most {TOLERATED_REJECTS:.0%} of the batch's rows are bad."
            ),
        ],
    )
    def records(
        context: dg.AssetExecutionContext, config: IngestConfig, platform: dg.ResourceParam[Services]
    ) -> dg.MaterializeResult:
        about = {"run_id": context.run.run_id, "source": source.name}
        with (
            retried(context),
            logs.about(**about),
            tracing.segment(platform.xray, "pipeline-ingest", **about) as traced,
        ):
            started = time.monotonic()
            object_ids = config.object_ids or _arrived(platform, source, context)
            outcomes = []
            worker = Worker(platform.loader, platform.s3, platform.settings, run_id=context.run.run_id)
            step = platform.settings.ingest_batch_objects
            for begin in range(0, len(object_ids), step):
                for outcome in worker.ingest(object_ids[begin : begin + step]):
                    outcomes.append(outcome)
                    if outcome.fault:
                        context.log.warning(f"{outcome.key}: {outcome.fault.message}")
            traced["objects"] = len(outcomes)
            return _result(context, platform, source, object_ids, outcomes, time.monotonic() - started)

    return records


def _code_version(source: Source) -> str:
    """The mappings of all datasets of a source in one text."""
    return "-".join(source.fingerprint(dataset)[:8] for dataset in datasets())


def _arrived(platform: Services, source: Source, context: dg.AssetExecutionContext) -> list[int]:
    days = [date.fromisoformat(key) for key in context.partition_keys]
    with platform.loader.connect() as connection:
        return [each for day in days for each in arrivals(connection, source.name, day, context.run.run_id)]


def _result(
    context: dg.AssetExecutionContext,
    platform: Services,
    source: Source,
    object_ids: list[int],
    outcomes: list[Outcome],
    seconds: float,
) -> dg.MaterializeResult:
    loaded = [outcome.object_id for outcome in outcomes]
    with platform.loader.connect() as connection:
        shares = report.shares(connection, loaded)
        reasons = report.reject_reasons(connection, loaded)
        entities = report.first_entities(connection, outcomes)
        columns, drift = report.columns(connection, loaded), report.drift(connection, loaded)
        log_tables(context, connection, [share.dataset for share in shares])
    size = sum(share.bytes for share in shares)
    if outcomes:
        log_objects(context, source, len(outcomes), size)
    totals = report.totals(outcomes)
    tables = {"outcomes": dg.MetadataValue.md(outcomes_table(outcomes))}
    if faults := faults_table(outcomes):
        tables["failure reasons"] = dg.MetadataValue.md(faults)
    reasons_table = dg.MetadataValue.md(markdown_table(report.RejectReason._fields, reasons))
    metadata: dict[str, Any] = {
        **({"days": ", ".join(context.partition_keys)} if len(context.partition_keys) > 1 else {}),
        "objects": len(outcomes),
        "objects not needed": len(object_ids) - len(outcomes),
        **{name.replace("_", " "): count for name, count in totals.items()},
        "bytes": size,
        "seconds": round(seconds, 3),
        "records per second": round(totals["records"] / seconds) if seconds else 0,
        **tables,
        "plot": image("svg+xml", counts_plot(totals).encode()),
        "dagster/row_count": totals["records"] - totals["rejected"],
        "dagster/uri": f"s3://{platform.settings.landing_bucket}/{source.prefix}/",
    }
    if entities:
        preview = markdown_table(report.EntityLine._fields, entities)
        metadata["preview"] = dg.MetadataValue.md(preview)
    figures: dict[str, float] = {
        "RecordsLoaded": totals["inserted"] + totals["updated"],
        "RecordsRejected": totals["rejected"],
        "BatchObjects": len(outcomes),
        "BatchBytes": size,
    }
    if lags := [share.longest_lag for share in shares if share.longest_lag is not None]:
        metadata["longest lag in seconds"] = figures["IngestLagSeconds"] = round(max(lags), 3)
    if outcomes:
        metrics.emit(platform.settings.environment, figures, source=source.name)
    for state, objects in Counter(outcome.state for outcome in outcomes).items():
        metrics.emit(platform.settings.environment, {"ObjectsSettled": objects}, state=state)
    if columns:
        metadata |= {
            "columns_read": sum(column.field is not None for column in columns),
            "columns_unmatched": sum(column.field is None for column in columns),
            "columns_vanished": len({name for each in drift for name in each.lost}),
            "fields_unread": sum(outcome.fields_unread for outcome in outcomes),
            "columns": dg.MetadataValue.md(columns_table(columns)),
        }
    if drift:
        metadata["columns that changed"] = dg.MetadataValue.md(drift_table(drift))
    if reasons:
        metadata["reject reasons"] = reasons_table
        metadata["reject list"] = report.rejects_command(source.name, outcomes)
    failed = totals["objects_failed"]
    share = totals["rejected"] / totals["records"] if totals["records"] else 0.0
    return dg.MaterializeResult(
        metadata=metadata,
        check_results=[
            dg.AssetCheckResult(
                check_name=WHOLE_OBJECTS, passed=not failed, metadata={"objects failed": failed, **tables}
            ),
            dg.AssetCheckResult(
                check_name=REJECT_RATE,
                passed=share <= TOLERATED_REJECTS,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"rejected": totals["rejected"], "share": round(share, 6), "reasons": reasons_table},
            ),
        ],
    )
