"""Daily housekeeping: delete old Dagster runs and old confirmations, which would grow forever, and create partitions."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from pipeline_project.canonical.tables import make_months_ahead
from pipeline_project.ingest.loading import prune_confirmations, prune_patches, snapshots
from pipeline_project.orchestration.retries import retried
from pipeline_project.services import Services

MONTHS_AHEAD = 3
PAGE = 200
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.op(description="Makes the partitions of the next months, so that no load has to.")
def make_partitions(context: dg.OpExecutionContext, platform: dg.ResourceParam[Services]) -> None:
    with retried(context), platform.loader.connect() as connection:
        made = make_months_ahead(connection, MONTHS_AHEAD)
    context.add_output_metadata({"partitions made": made})


@dg.op(description="Deletes runs that ended long ago, with their logs; not the newest of an asset and partition.")
def prune_runs(context: dg.OpExecutionContext, platform: dg.ResourceParam[Services]) -> None:
    before = datetime.now(UTC) - timedelta(days=platform.settings.run_retention_days)
    context.add_output_metadata({"runs deleted": prune(context.instance, before), "older than": before.isoformat()})


@dg.op(description="Deletes old confirmations and patches that no current version needs.")
def prune_notes(context: dg.OpExecutionContext, platform: dg.ResourceParam[Services]) -> None:
    before = datetime.now(UTC) - timedelta(days=platform.settings.confirmation_retention_days)
    with retried(context), platform.loader.connect(autocommit=True) as connection:
        confirmations = prune_confirmations(connection, before)
        patches = prune_patches(connection, before)
        forgotten = snapshots.forget_snapshots(connection, before)
    counts = {"confirmations deleted": confirmations, "patches deleted": patches, "snapshots forgotten": forgotten}
    context.add_output_metadata({**counts, "older than": before.isoformat()})


@dg.op(description="Closes snapshots that waited, for example for a decision about rejected records.")
def close_snapshots(context: dg.OpExecutionContext, platform: dg.ResourceParam[Services]) -> None:
    with retried(context), platform.loader.connect(autocommit=True) as connection:
        closed = snapshots.close_unfinished(connection)
    context.add_output_metadata({"snapshots closed": closed})


@dg.job(description="Creates partitions in advance, and deletes old runs and old confirmations.")
def housekeeping() -> None:
    make_partitions()
    close_snapshots()
    prune_notes()
    prune_runs()


def prune(instance: dg.DagsterInstance, before: datetime) -> int:
    """Delete finished runs that were created before a time, with their logs. Return their number.

    The latest run of each asset and partition stays, so the asset graph does not change.
    """
    kept = newest_runs(instance)
    deleted = 0
    for run_id in list(_old_runs(instance, before)):
        if run_id not in kept:
            instance.compute_log_manager.delete_logs(prefix=[run_id])  # first: the run leads to its logs
            instance.delete_run(run_id)
            deleted += 1
    return deleted


def newest_runs(instance: dg.DagsterInstance) -> set[str]:
    """Return the runs that last materialized an asset or one of its partitions."""
    newest = dg.DagsterEventType.ASSET_MATERIALIZATION
    kept = set()
    for key in instance.get_asset_keys():
        if last := instance.get_latest_materialization_event(key):
            kept.add(last.run_id)
        storage_ids = [*instance.get_latest_storage_id_by_partition(key, newest).values()]
        for begin in range(0, len(storage_ids), PAGE):
            page = dg.AssetRecordsFilter(asset_key=key, storage_ids=storage_ids[begin : begin + PAGE])
            kept |= {record.run_id for record in instance.fetch_materializations(page, limit=PAGE).records}
    return kept


def _old_runs(instance: dg.DagsterInstance, before: datetime) -> Iterator[str]:
    cursor = None
    filters = dg.RunsFilter(statuses=ENDED, created_before=before)
    while page := instance.get_run_ids(filters, cursor=cursor, limit=PAGE):
        yield from page
        cursor = page[-1]
