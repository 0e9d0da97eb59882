"""Sensors that report failures, and that finish jobs whose runs were lost."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from pipeline_project.jobs.launch import JOB_TAG, launch
from pipeline_project.jobs.model import timestamp
from pipeline_project.jobs.outbox import Event, cloud_event
from pipeline_project.jobs.reconcile import Run, reconcile
from pipeline_project.notify import metrics
from pipeline_project.notify.ingest import UNROUTABLE, announce, backlog
from pipeline_project.orchestration.names import SOURCE_TAG
from pipeline_project.services import Services

SETTLE_SECONDS = 20
MEASURE_SECONDS = 60
LONGEST_MESSAGE = 1_000
FIRST_LOOK = timedelta(days=1)
"""Period that a sensor without a cursor reads. The outbox keeps sent events longer, so no event is sent again."""
OVERLAP = timedelta(minutes=1)
"""Period before its cursor that a sensor reads again. Dagster writes the end of a run a moment after the recorded time."""
MOST_FAILURES = 200
"""Maximum number of failed runs in one tick. The next tick reads the rest."""
WAITING = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING)


@dg.sensor(
    minimum_interval_seconds=SETTLE_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Stores an event for each failed run. The job sensor sends it. Jobs of the REST facade report their own end.",
)
def run_events(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Services]) -> dg.SensorResult:
    # Dagster's own sensor for failures goes on after one that it could not tell of, and takes five at a time.
    now = datetime.now(UTC)
    since = datetime.fromisoformat(context.cursor) if context.cursor else now - FIRST_LOOK
    failed = context.instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since - timedelta.resolution),
        limit=MOST_FAILURES,
        order_by="update_timestamp",
        ascending=True,
    )
    events = [
        _failure(context.instance, record, platform.settings.dagster_url)
        for record in failed
        if JOB_TAG not in record.dagster_run.tags
    ]
    new = sum(platform.outbox.put(event) for event in events)
    next_since = failed[-1].update_timestamp if len(failed) == MOST_FAILURES else max(since, now - OVERLAP)
    return dg.SensorResult(skip_reason=f"new events: {new}", cursor=next_since.isoformat())


def _failure(instance: dg.DagsterInstance, record: dg.RunRecord, dagster_url: str) -> Event:
    run = record.dagster_run
    told = [
        entry.get_dagster_event().message
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    ]
    data = {
        "run_id": run.run_id,
        "job": run.job_name,
        "source": run.tags.get(SOURCE_TAG),
        "partition": run.tags.get("dagster/partition"),
        "message": (told[-1] or "")[:LONGEST_MESSAGE] if told else None,
        "url": f"{dagster_url.rstrip('/')}/runs/{run.run_id}",
    }
    return cloud_event(
        f"run-{run.run_id}", "run.failed", f"runs/{run.run_id}", timestamp(record.update_timestamp), data
    )


@dg.sensor(
    minimum_interval_seconds=SETTLE_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Stores an event for each object that failed or lost many rows. The job sensor sends it.",
)
def ingest_events(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Services]) -> dg.SensorResult:
    now = datetime.now(UTC)
    since = datetime.fromisoformat(context.cursor) if context.cursor else now - FIRST_LOOK
    told = announce(platform.loader, platform.outbox, since, now, platform.settings.notify_reject_share)
    for source, failed in told.failed.items():
        metrics.emit(platform.settings.environment, {"IngestFailures": failed}, source=source)
    if unroutable := told.failed[UNROUTABLE]:  # the others are counted by the run that settled them
        metrics.emit(platform.settings.environment, {"ObjectsSettled": unroutable}, state=UNROUTABLE)
    return dg.SensorResult(skip_reason=f"new events: {told.events}", cursor=told.since.isoformat())


@dg.sensor(
    minimum_interval_seconds=SETTLE_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches jobs that were not launched, finishes jobs whose run died, and sends events that are not sent yet.",
)
def job_sensor(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Services]) -> dg.SkipReason:
    settled = reconcile(
        platform.jobs,
        datetime.now(UTC),
        launch=lambda job: launch(job, platform.settings),
        runs=lambda run_ids: states(context.instance, run_ids),
    )
    if settled.failed:
        metrics.emit(platform.settings.environment, {"JobsFailed": settled.failed})
    sent = platform.delivery.send_waiting()
    return dg.SkipReason(
        f"jobs launched: {settled.launched}, put back: {settled.again}, brought to an end: {settled.ended}; "
        f"events sent: {sent}"
    )


@dg.sensor(
    minimum_interval_seconds=MEASURE_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Measures how many objects wait to be loaded, and how long the oldest one waits.",
)
def backlog_sensor(platform: dg.ResourceParam[Services]) -> dg.SkipReason:
    waiting, oldest = backlog(platform.loader)
    metrics.emit(platform.settings.environment, {"ObjectsWaiting": waiting, "OldestWaitingSeconds": round(oldest, 1)})
    return dg.SkipReason(f"objects waiting: {waiting}, the oldest for {oldest:.0f} s")


def states(instance: dg.DagsterInstance, run_ids: list[str]) -> Mapping[str, Run]:
    """Return the states that Dagster has for runs, by run ID."""
    runs = instance.get_runs(dg.RunsFilter(run_ids=run_ids)) if run_ids else []
    return {run.run_id: _state(run) for run in runs}


def _state(run: dg.DagsterRun) -> Run:
    if run.is_finished:
        return Run.ENDED
    return Run.WAITING if run.status in WAITING else Run.STARTED
