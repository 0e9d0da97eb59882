"""Jobs executed to their end: real table, bucket and database. A lock on the entities stands for a long query."""

import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
import pytest

from pipeline_project.errors import Permanent, Transient
from pipeline_project.jobs import run
from pipeline_project.jobs.model import Failure, Job, State
from pipeline_project.jobs.outbox import job_ended
from pipeline_project.jobs.run import run_job
from pipeline_project.jobs.watch import Watch
from pipeline_project.notify.delivery import Delivery
from pipeline_project.notify.events import Notifier
from pipeline_project.results.options import Format, ResultOptions
from pipeline_project_tests.fix_api import Cloud
from pipeline_project_tests.fix_postgres import FreshDatabase

WAITING = """SELECT pid FROM pg_stat_activity
    WHERE usename = 'pipeline_reader' AND datname = current_database() AND wait_event_type = 'Lock'"""


class Worker:
    """Runs jobs as the Dagster op does."""

    def __init__(self, cloud: Cloud, database: FreshDatabase) -> None:
        self.cloud = cloud
        self.database = database
        self.store = cloud.jobs()
        self.delivery = Delivery(cloud.outbox(), Notifier(cloud.sns, cloud.settings.events_topic_arn))

    def submit(self, operation: str = "simple_demo", **options: Any) -> Job:
        return self.store.submit(operation, {}, "me", **options)[0]

    def run(self, job: Job, run_id: str = "run", **settings: Any) -> Job:
        return run_job(
            job.id,
            run_id,
            store=self.store,
            database=self.database.reader,
            s3=self.cloud.s3,
            settings=msgspec.structs.replace(self.cloud.settings, **settings),
            notifier=self.delivery,
            beat_seconds=0.05,
        )

    def objects(self) -> list[str]:
        listed = self.cloud.s3.list_objects_v2(Bucket=self.cloud.settings.results_bucket)
        return [each["Key"] for each in listed.get("Contents", [])]


@pytest.fixture
def worker(cloud: Cloud, database: FreshDatabase) -> Worker:
    return Worker(cloud, database)


@contextmanager
def long_query(worker: Worker, job: Job, run_id: str = "run", **settings: Any) -> Iterator["Blocked"]:
    """The job's run, in a thread, at the point where its query is being executed."""
    with (
        psycopg.connect(worker.database.admin) as lock,
        psycopg.connect(worker.database.admin, autocommit=True) as observer,
        ThreadPoolExecutor(2) as pool,
    ):
        lock.execute("LOCK TABLE canonical.entities")
        run = pool.submit(worker.run, job, run_id, **settings)
        blocked = Blocked(observer, lock, run)
        until(lambda: blocked.backends() or run.done())
        try:
            yield blocked
        finally:
            lock.rollback()


class Blocked:
    def __init__(self, observer: psycopg.Connection, lock: psycopg.Connection, run: "Future[Job]") -> None:
        self._observer = observer
        self._lock = lock
        self.run = run

    def backends(self) -> list[int]:
        return [pid for (pid,) in self._observer.execute(WAITING)]

    def end_backends(self) -> None:
        for pid in self.backends():
            self._observer.execute("SELECT pg_terminate_backend(%s)", (pid,))

    def release(self) -> None:
        self._lock.rollback()


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def test_success(worker: Worker, cloud: Cloud) -> None:
    queue = cloud.sqs.create_queue(QueueName=cloud.settings.table_name)["QueueUrl"]
    arn = cloud.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    cloud.sns.subscribe(TopicArn=cloud.settings.events_topic_arn, Protocol="sqs", Endpoint=arn)
    job = worker.submit("database_info", options=ResultOptions(format=Format.CSV))
    worker.store.launched(job.id, "run")
    ended = worker.run(job)
    assert ended.state is State.SUCCEEDED
    assert ended.result is not None
    assert worker.store.get(job.id) == ended
    body = cloud.s3.get_object(Bucket=cloud.settings.results_bucket, Key=ended.result.key)["Body"].read()
    assert len(body) == ended.result.bytes
    assert len(list(csv.reader(io.StringIO(body.decode())))) == ended.result.rows + 1
    [message] = cloud.sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=2)["Messages"]
    assert json.loads(json.loads(message["Body"])["Message"]) == job_ended(ended)
    assert list(cloud.outbox().waiting()) == []


def test_second_run_leaves(worker: Worker) -> None:
    job = worker.submit()
    first = worker.run(job, "first")
    assert worker.run(job, "second") == first


def test_two_runs_at_once_are_one_execution(worker: Worker) -> None:
    job = worker.submit()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: worker.run(job, f"run-{n}"), range(4)))
    ended = worker.store.get(job.id)
    assert ended is not None
    assert (ended.state, ended.attempts) == (State.SUCCEEDED, 1)
    assert worker.objects() == [f"jobs/{job.id}/1/manifest.json", f"jobs/{job.id}/1/result.json"]


def test_cancel_before_the_claim(worker: Worker) -> None:
    job = worker.submit()
    assert worker.store.request_cancel(job.id).state is State.CANCELLED
    assert worker.run(job).state is State.CANCELLED
    assert worker.objects() == []


def test_cancel_reaches_the_backend(worker: Worker) -> None:
    job = worker.submit()
    with long_query(worker, job) as blocked:
        assert len(blocked.backends()) == 1
        assert worker.store.request_cancel(job.id).state is State.CANCELLING
        assert blocked.run.result(60).state is State.CANCELLED  # the query would wait for ever
        assert blocked.backends() == []
    assert worker.objects() == []


def test_timeout(worker: Worker) -> None:
    job = worker.submit()
    with long_query(worker, job, job_timeout_seconds=1) as blocked:
        ended = blocked.run.result(60)
        assert blocked.backends() == []
    assert ended.state is State.TIMED_OUT
    assert ended.error is not None
    assert ended.error.code == "timed_out"


def test_lost_backend_is_tried_again(worker: Worker) -> None:
    job = worker.submit()
    with long_query(worker, job) as blocked:
        blocked.end_backends()
        until(lambda: not blocked.backends())
        blocked.release()
        ended = blocked.run.result(60)
    assert (ended.state, ended.attempts) == (State.SUCCEEDED, 1)


@pytest.mark.parametrize(
    ("error", "tries"),
    [(Transient("the database is away"), 5), (psycopg.errors.DeadlockDetected("x"), 5), (Permanent("no"), 1)],
)
def test_an_error_that_may_pass_is_tried_five_times_with_growing_pauses(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, error: Exception, tries: int
) -> None:
    tried: list[Job] = []
    pauses: list[float] = []

    def fail(*_: Any, **__: Any) -> None:
        tried.append(job)
        raise error

    job = worker.submit()
    monkeypatch.setattr(run, "execute", fail)
    monkeypatch.setattr(Watch, "pause", lambda self, seconds: pauses.append(seconds))
    ended = worker.run(job)
    assert len(tried) == tries
    assert pauses == [1, 2, 4, 8][: tries - 1]
    assert ended.state is State.FAILED
    assert ended.error is not None
    expected = {
        Transient: Failure(code="unavailable", detail="the database is away; tried 5 times"),
        Permanent: Failure(code="failed", detail="no"),
    }
    found = Failure(code="internal_error", detail="DeadlockDetected; the run's log has more")
    assert ended.error == expected.get(type(error), found)


def test_a_pause_ends_with_the_verdict(worker: Worker) -> None:
    """A job that is cancelled while it waits for its next try does not wait until the end of the pause."""
    job = worker.store.claim(worker.submit().id, "run")
    watch = Watch(worker.store, job, "run", worker.database.reader, 3600, beat=0.05)
    with watch:
        worker.store.request_cancel(job.id)
        watch.pause(60)
    assert watch.verdict is State.CANCELLING


def test_the_watch_reports_the_rows_that_are_written(worker: Worker) -> None:
    job = worker.store.claim(worker.submit().id, "run")
    with Watch(worker.store, job, "run", worker.database.reader, 3600, beat=0.05) as watch:
        watch.rows = 7
        until(lambda: (found := worker.store.get(job.id)) and found.rows_written == 7)


def test_run_given_up_for_lost_leaves_the_job_to_the_next(worker: Worker) -> None:
    job = worker.submit()
    with long_query(worker, job, "lost") as blocked:
        worker.store.transition(job.id, [State.RUNNING], State.SUBMITTED)
        worker.store.claim(job.id, "next")
        left = blocked.run.result(60)
    assert (left.state, left.run_id) == (State.RUNNING, "next")
    assert worker.objects() == []


def test_permanent_error_is_not_tried_again(worker: Worker) -> None:
    ended = worker.run(worker.submit("no_such_operation"))
    assert ended.state is State.FAILED
    assert ended.error is not None
    assert ended.error.code == "unknown_operation"


def test_a_topic_that_is_away_loses_no_event(worker: Worker, cloud: Cloud) -> None:
    worker.delivery = Delivery(cloud.outbox(), Notifier(cloud.sns, f"{cloud.settings.events_topic_arn}-away"))
    ended = worker.run(worker.submit())
    assert ended.state is State.SUCCEEDED
    assert list(cloud.outbox().waiting()) == [json.loads(msgspec.json.encode(job_ended(ended)))]
    delivery = Delivery(cloud.outbox(), Notifier(cloud.sns, cloud.settings.events_topic_arn))
    assert delivery.send_waiting() == 1
    assert delivery.send_waiting() == 0


def test_progress_is_told(worker: Worker) -> None:
    job = worker.store.claim(worker.submit().id, "run")
    assert worker.store.heartbeat(job.id, "run", 12_000).rows_written == 12_000


def test_no_thread_is_left(worker: Worker) -> None:
    worker.run(worker.submit())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("watch-")]
