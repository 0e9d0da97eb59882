"""Listen for uploads and ask for runs that load them.

A tick of Dagster's sensor loop comes every five seconds at best. So a sensor waits inside its tick, and several take
turns: while one is between two ticks another listens. Their ticks differ in length, or they would all pause at once.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg

from pipeline_project.ingest.discovery import ListingCursor, SensorRotation
from pipeline_project.ingest.ledger import Batch, LiveRuns
from pipeline_project.notify import metrics
from pipeline_project.orchestration.names import (
    BATCH_TAG,
    HEAVY,
    INGEST_JOB,
    SOURCE_TAG,
    SUSPECT,
    WEIGHT_TAG,
    ingest_key,
)
from pipeline_project.services import Services

LOOP_SECONDS = 5
"""Of Dagster's sensor loop; it is a constant there."""
TICK_SECONDS = (39, 44, 49)
"""A length for each sensor: just under a multiple of five, so that the next tick follows at once. Long, as each
tick costs Dagster twenty statements; far from the minute after which it gives a tick up."""
GLANCE_SECONDS = 1.5
"""Of a tick that does not listen."""
LINGER_SECONDS = 0.1
RUNS_PER_SOURCE = 1
"""Light ones. What arrives while it runs gathers, and the next takes it all: under load, batches grow and not the queue."""
LISTING_SECONDS = 2
LISTING_EVERY = timedelta(minutes=10)
OPEN = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def landing_sensors() -> list[dg.SensorDefinition]:
    turns = SensorRotation(LOOP_SECONDS / len(TICK_SECONDS))
    return [_landing_sensor(number, seconds, turns) for number, seconds in enumerate(TICK_SECONDS, start=1)]


def _landing_sensor(number: int, seconds: int, turns: SensorRotation) -> dg.SensorDefinition:
    lists = number == 1

    @dg.sensor(
        name=f"landing_sensor_{number}",
        job_name=INGEST_JOB,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Listens to the landing queue and asks for runs that load what has arrived."
        + (" Also compares the bucket with the ledger, for what the events missed." if lists else ""),
    )
    def landing_sensor(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Services]) -> dg.SensorResult:
        landing, cursor = platform.landing, context.cursor
        listening = seconds if platform.settings.landing_listens else GLANCE_SECONDS
        if lists:
            now = datetime.now(UTC)
            place = ListingCursor.parse(cursor)
            cursor = str(landing.list_some(place, now, every=LISTING_EVERY, seconds=LISTING_SECONDS))
        batches = landing.watch(
            living(context.instance), turns, seconds=listening, linger=LINGER_SECONDS, runs_per_source=RUNS_PER_SOURCE
        )
        if landing.ignored:
            metrics.emit(platform.settings.environment, {"ObjectsIgnored": landing.ignored})
        if not batches:
            return dg.SensorResult(skip_reason=f"nothing arrived within {listening} s", cursor=cursor)
        heavy = platform.settings.ingest_heavy_bytes
        return dg.SensorResult(run_requests=[run_request(batch, heavy) for batch in batches], cursor=cursor)

    return landing_sensor


def living(instance: dg.DagsterInstance) -> Callable[[], LiveRuns]:
    """Asks which batches have a run that is not at an end. A run that was started by hand is its own batch."""

    def ask() -> LiveRuns:
        runs = instance.get_runs(dg.RunsFilter(job_name=INGEST_JOB, statuses=OPEN))
        by_hand = instance.get_runs(dg.RunsFilter(job_name="__ASSET_JOB", statuses=OPEN))
        by_weight = Counter((run.tags.get(WEIGHT_TAG), run.tags.get(SOURCE_TAG)) for run in runs)
        return LiveRuns(
            batches={run.tags.get(BATCH_TAG, run.run_id) for run in (*runs, *by_hand)},
            runs={source: count for (weight, source), count in by_weight.items() if source and weight is None},
            suspect_runs={
                source: count for (weight, source), count in by_weight.items() if source and weight == SUSPECT
            },
        )

    return ask


def run_request(batch: Batch, heavy: int) -> dg.RunRequest:
    """The run that loads a batch; from `heavy` bytes on in a process of its own. Suspects get one by themselves in any case.

    Each giving of objects has a key of its own: Dagster takes a key once, whatever becomes of its run.
    """
    key = ingest_key(batch.source)
    weight = SUSPECT if batch.suspects else HEAVY if batch.bytes >= heavy else None
    return dg.RunRequest(
        run_key=batch.id,
        asset_selection=[key],
        partition_key=batch.day.isoformat(),
        run_config={"ops": {key.to_python_identifier(): {"config": {"object_ids": batch.object_ids}}}},
        tags={BATCH_TAG: batch.id, SOURCE_TAG: batch.source} | ({WEIGHT_TAG: weight} if weight else {}),
    )
