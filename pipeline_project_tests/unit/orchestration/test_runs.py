"""Which runs count as open, what is tried again, and what happens by the clock. Dagster is real and in memory."""

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, cast

import dagster as dg
import psycopg
import pytest
from botocore.exceptions import EndpointConnectionError
from dagster import DagsterRunStatus as Status
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from pipeline_project.analytics.failures import DatabaseUnavailable
from pipeline_project.definitions import defs
from pipeline_project.errors import Permanent, Transient
from pipeline_project.ingest.discovery.landing import ListingCursor
from pipeline_project.ingest.ledger.batches import Batch
from pipeline_project.jobs.reconcile import Run
from pipeline_project.orchestration.automation import landing_sensors, run_sensors
from pipeline_project.orchestration.automation.housekeeping import prune
from pipeline_project.orchestration.retries import retried
from pipeline_project.settings import Settings

REPOSITORY = defs.get_repository_def()
REMOTE = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__")
OPEN = {Status.QUEUED, Status.NOT_STARTED, Status.STARTING, Status.STARTED, Status.CANCELING}
ENDED = {Status.SUCCESS, Status.FAILURE, Status.CANCELED}
STATUSES = sorted(OPEN | ENDED, key=str)
BATCH, SOURCE, WEIGHT = "pipeline/batch", "pipeline/source", "pipeline/weight"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def add(instance: dg.DagsterInstance, status: Status, job: str = "ingest_job", **tags: str) -> str:
    """A run in that state; its id."""
    origin = RemoteJobOrigin(REMOTE, job)
    run = dg.DagsterRun(job_name=job, run_id=str(uuid.uuid4()), status=status, tags=tags, remote_job_origin=origin)
    instance.add_run(run)
    return run.run_id


# ---- batches that have a run


@pytest.mark.parametrize("status", STATUSES)
def test_a_batch_is_open_until_its_run_has_ended(instance: dg.DagsterInstance, status: Status) -> None:
    """Objects of an open batch are given to no other run. Objects of an ended one must be."""
    add(instance, status, **{BATCH: "crm-1", SOURCE: "crm"})
    found = landing_sensors.living(instance)()
    is_open = status in OPEN
    assert found.batches == ({"crm-1"} if is_open else set())
    assert found.runs == (Counter(crm=1) if is_open else Counter())


def test_a_run_that_was_started_by_hand_is_its_own_batch(instance: dg.DagsterInstance) -> None:
    by_hand = add(instance, Status.STARTED, "__ASSET_JOB")
    in_job = add(instance, Status.QUEUED)
    add(instance, Status.SUCCESS, "__ASSET_JOB")
    add(instance, Status.STARTED, "daily_refresh", **{BATCH: "not of ingestion", SOURCE: "crm"})
    found = landing_sensors.living(instance)()
    assert found.batches == {by_hand, in_job}
    assert found.runs == Counter(), "without a source they are no light run of one"


def test_heavy_runs_do_not_hold_up_the_light_runs_of_their_source(instance: dg.DagsterInstance) -> None:
    for number, weight in enumerate(({}, {WEIGHT: "heavy"}, {WEIGHT: "light"})):
        add(instance, Status.STARTED, **{BATCH: f"crm-{number}", SOURCE: "crm", **weight})
    add(instance, Status.QUEUED, **{BATCH: "erp-1", SOURCE: "erp"})
    found = landing_sensors.living(instance)()
    assert found.batches == {"crm-0", "crm-1", "crm-2", "erp-1"}
    assert found.runs == Counter(crm=2, erp=1)


@pytest.mark.parametrize(("size", "weight"), [(99, None), (100, "heavy"), (101, "heavy")])
def test_a_batch_is_heavy_from_the_bound_on(size: int, weight: str | None) -> None:
    batch = Batch(id="crm-1", source="crm", day=dt.date(2026, 3, 1), object_ids=[1], bytes=size)
    tags = landing_sensors.run_request(batch, 100).tags
    assert tags.get(WEIGHT) == weight
    assert (tags[BATCH], tags[SOURCE]) == ("crm-1", "crm")


# ---- landing sensors


class Landing:
    """Stands for the queue and the bucket: says what it was asked, and gives batches."""

    def __init__(self, *batches: Batch, ignored: int = 0) -> None:
        self.ignored = ignored
        self.listed: list[dict[str, Any]] = []
        self.watched: list[dict[str, Any]] = []
        self._batches = list(batches)

    def list_some(self, cursor: ListingCursor, now: dt.datetime, **options: Any) -> ListingCursor:
        assert cursor == ListingCursor(), "a text that is no cursor is the beginning"
        self.listed.append(options)
        return ListingCursor(now)

    def watch(self, _living: Any, _turns: Any, **options: Any) -> list[Batch]:
        self.watched.append(options)
        return self._batches


def look(number: int, landing: Landing, capsys: pytest.CaptureFixture[str], **changed: Any) -> tuple[Any, str]:
    """One tick of a landing sensor: its result, and what it measured."""
    settings = Settings(
        landing_bucket="b", results_bucket="b", landing_queue_url="q", table_name="t", events_topic_arn="t", **changed
    )

    class Platform:
        pass

    platform = cast("Any", Platform())
    platform.landing, platform.settings = landing, settings
    sensor = landing_sensors.landing_sensors()[number]
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, cursor="x", resources={"platform": platform}) as context,
    ):
        capsys.readouterr()
        return sensor(context), capsys.readouterr().out


BATCHES = [
    Batch(id=f"crm-{size}", source="crm", day=dt.date(2026, 3, 1), object_ids=[1], bytes=size) for size in (1, 2**26)
]


def test_only_the_first_landing_sensor_compares_the_bucket(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        landing = Landing(*BATCHES)
        result, _ = look(number, landing, capsys)
        assert [request.run_key for request in result.run_requests] == ["crm-1", "crm-67108864"]
        assert [request.tags.get(WEIGHT) for request in result.run_requests] == [None, "heavy"]
        assert landing.listed == ([{"every": dt.timedelta(minutes=10), "seconds": 2}] if number == 0 else [])
        assert (ListingCursor.parse(result.cursor).began is not None) is (number == 0)
        assert (result.cursor == "x") is (number > 0)
    assert len(landing_sensors.landing_sensors()) == 3


def test_a_tick_without_arrivals_keeps_its_place_and_asks_for_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    result, measured = look(0, Landing(), capsys)
    assert not result.run_requests
    assert result.skip_reason
    assert ListingCursor.parse(result.cursor).began is not None
    assert measured == ""


def test_a_landing_sensor_listens_for_its_tick_or_looks_once(capsys: pytest.CaptureFixture[str]) -> None:
    for listens, seconds in ((True, [39, 44, 49]), (False, [1.5, 1.5, 1.5])):
        for number, expected in enumerate(seconds):
            landing = Landing()
            look(number, landing, capsys, landing_long_polling=listens)
            # One light run of a source at a time: what arrives meanwhile becomes one larger batch.
            assert landing.watched == [{"seconds": expected, "linger": 0.1, "runs_per_source": 1}]


def test_ignored_objects_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    _, measured = look(1, Landing(ignored=3), capsys)
    assert '"ObjectsIgnored":3' in measured


# ---- what Dagster knows of the runs of jobs


@pytest.mark.parametrize("status", STATUSES)
def test_a_run_waits_works_or_has_ended(instance: dg.DagsterInstance, status: Status) -> None:
    """A job whose run has ended without it is settled. A run that only waits is no such run."""
    run_id = add(instance, status)
    add(instance, status)
    waiting = {Status.QUEUED, Status.NOT_STARTED, Status.STARTING}
    expected = Run.ENDED if status in ENDED else Run.WAITING if status in waiting else Run.STARTED
    assert run_sensors.states(instance, [run_id, "unknown"]) == {run_id: expected}


def test_no_run_is_asked_for_where_no_job_has_one(instance: dg.DagsterInstance) -> None:
    """To Dagster an empty list of runs means all runs."""
    add(instance, Status.STARTED)
    assert run_sensors.states(instance, []) == {}


# ---- what is tried again


class Context:
    """The part of Dagster's context that the policy reads."""

    def __init__(self, retry_number: int) -> None:
        self.retry_number = retry_number


def raised(error: BaseException, retry_number: int = 0) -> BaseException:
    with pytest.raises(BaseException) as caught, retried(cast("Any", Context(retry_number))):
        raise error
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        Transient("busy"),
        DatabaseUnavailable("away"),
        psycopg.OperationalError("the connection is lost"),
        psycopg.errors.DeadlockDetected(),
        psycopg.errors.SerializationFailure(),
        EndpointConnectionError(endpoint_url="https://s3"),
    ],
)
def test_what_may_pass_is_tried_again_after_a_growing_pause(error: Exception) -> None:
    pauses = []
    for number in range(4):
        again = raised(error, number)
        assert isinstance(again, dg.RetryRequested)
        assert again.max_retries == 4
        assert again.__cause__ is error
        pauses.append(again.seconds_to_wait)
    assert pauses == [1, 2, 4, 8]


def test_what_stays_wrong_fails_at_once_with_its_reason() -> None:
    failure = raised(Permanent("the file has no header"))
    assert isinstance(failure, dg.Failure)
    assert failure.allow_retries is False
    assert failure.description == "the file has no header"


@pytest.mark.parametrize("error", [ValueError("a bug"), psycopg.errors.UniqueViolation(), KeyboardInterrupt()])
def test_other_errors_go_on_as_they_are(error: BaseException) -> None:
    assert raised(error) is error


def test_without_an_error_nothing_happens() -> None:
    with retried(cast("Any", Context(0))), nullcontext():
        pass


# ---- by the clock


def test_schedules_begin_at_quiet_hours() -> None:
    schedules = {each.name: each.cron_schedule for each in REPOSITORY.schedule_defs}
    assert schedules == {
        "housekeeping_schedule": "0 3 * * *",
        "daily_refresh_schedule": "0 5 * * *",
        "monthly_refresh_schedule": "30 5 1 * *",
    }
    assert {each.execution_timezone for each in REPOSITORY.schedule_defs} <= {None, "UTC"}, "None is UTC to Dagster"


def test_sensors_look_often_enough() -> None:
    """SensorsAlarm waits for ten minutes without a figure of `backlog_sensor`."""
    found = {each.name: each.minimum_interval_seconds for each in REPOSITORY.sensor_defs}
    assert {name: found[name] for name in ("run_events", "ingest_events", "job_sensor", "backlog_sensor")} == {
        **dict.fromkeys(("run_events", "ingest_events", "job_sensor"), 20),
        "backlog_sensor": 60,
    }
    assert all(found[f"landing_sensor_{number}"] == 1 for number in (1, 2, 3))


def test_both_refreshes_check_the_tables_in_the_same_run() -> None:
    for name in ("daily_refresh", "monthly_refresh"):
        keys = {key.name for key in REPOSITORY.get_job(name).asset_layer.asset_graph.asset_check_keys}
        assert {"objects_add_up", "entities_from_known_objects", "objects_are_known"} <= keys


@pytest.mark.parametrize("status", STATUSES)
def test_only_runs_that_ended_are_pruned(instance: dg.DagsterInstance, status: Status) -> None:
    run_id = add(instance, status)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    assert prune(instance, later - dt.timedelta(hours=1)) == 0, "it is not old"
    assert prune(instance, later) == (1 if status in ENDED else 0)
    assert instance.has_run(run_id) is (status in OPEN)
