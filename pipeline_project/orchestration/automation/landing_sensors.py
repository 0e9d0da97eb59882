"""Dagster sensors that long-poll the landing queue and request the runs that load new uploads.

Dagster evaluates a sensor at most every five seconds, which is too slow. Therefore a sensor keeps polling during its tick.
Several sensors rotate, so that one is always polling while another waits for its next tick. Their ticks have different
lengths. With equal lengths, all of them would pause at the same moment.
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
"""Interval of Dagster's sensor loop, in seconds. It is a constant in Dagster."""
TICK_SECONDS = (39, 44, 49)
"""Tick length of each sensor, in seconds.

- Just under a multiple of five: the next tick starts without a delay.
- Long: each tick costs Dagster about twenty SQL statements.
- Well below 60: Dagster aborts a tick after one minute.
"""
SHORT_POLL_SECONDS = 1.5
"""Tick length, in seconds, if long polling is turned off (PIPELINE_LANDING_LONG_POLLING=false)."""
DEBOUNCE_SECONDS = 0.1
"""Time to wait for more events after the first one, so that files uploaded together form one batch."""
RUNS_PER_SOURCE = 1
"""Maximum number of unfinished light runs of a source. Further uploads wait and form the next batch. Under load, batches
grow instead of the run queue."""
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
        description="Polls the landing queue and requests runs that load new objects."
        + (" Also compares the bucket with the ledger, to find objects without an event." if lists else ""),
    )
    def landing_sensor(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Services]) -> dg.SensorResult:
        landing, cursor = platform.landing, context.cursor
        listening = seconds if platform.settings.landing_long_polling else SHORT_POLL_SECONDS
        if lists:
            now = datetime.now(UTC)
            place = ListingCursor.parse(cursor)
            cursor = str(landing.list_some(place, now, every=LISTING_EVERY, seconds=LISTING_SECONDS))
        batches = landing.watch(
            living(context.instance), turns, seconds=listening, linger=DEBOUNCE_SECONDS, runs_per_source=RUNS_PER_SOURCE
        )
        if landing.ignored:
            metrics.emit(platform.settings.environment, {"ObjectsIgnored": landing.ignored})
        if not batches:
            return dg.SensorResult(skip_reason=f"nothing arrived within {listening} s", cursor=cursor)
        heavy = platform.settings.ingest_heavy_bytes
        return dg.SensorResult(run_requests=[run_request(batch, heavy) for batch in batches], cursor=cursor)

    return landing_sensor


def living(instance: dg.DagsterInstance) -> Callable[[], LiveRuns]:
    """Return a function that reads the unfinished ingestion runs from Dagster.

    A run that was started by hand has no batch tag. It counts as a batch of its own, identified by its run ID.
    """

    def ask() -> LiveRuns:
        runs = instance.get_runs(dg.RunsFilter(job_name=INGEST_JOB, statuses=OPEN))
        by_hand = instance.get_runs(dg.RunsFilter(job_name="__ASSET_JOB", statuses=OPEN))
        weights = [(run.tags.get(WEIGHT_TAG), run.tags[SOURCE_TAG]) for run in runs if SOURCE_TAG in run.tags]
        return LiveRuns(
            batches={run.tags.get(BATCH_TAG, run.run_id) for run in (*runs, *by_hand)},
            runs=Counter(source for weight, source in weights if weight not in (HEAVY, SUSPECT)),
            suspect_runs=Counter(source for weight, source in weights if weight == SUSPECT),
        )

    return ask


def run_request(batch: Batch, heavy: int) -> dg.RunRequest:
    """Build the run request for a batch. From `heavy` bytes, the run gets a process of its own. Suspects have their own runs.

    Each assignment of objects creates a new batch ID, which is the run key. Dagster accepts a run key only once, even if its
    run fails, so a retry needs a new key.
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
