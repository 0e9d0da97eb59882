"""The reconciler sees every job that needs it, however many others there are, and no job that does not."""

import datetime as dt
from typing import Any

import pytest

from pipeline_project.errors import Transient
from pipeline_project.jobs.model import Job, State, now
from pipeline_project.jobs.reconcile import Run, Settled, reconcile
from pipeline_project.jobs.store import JobStore
from pipeline_project_tests.fix_api import Cloud

MORE_THAN_A_PAGE = 101


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = now()

    def __call__(self) -> dt.datetime:
        return self.time

    def forward(self, **time: float) -> None:
        self.time += dt.timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(cloud: Cloud, clock: Clock) -> JobStore:
    return cloud.jobs(clock=clock, open_jobs=1000)


def submit(store: JobStore) -> Job:
    return store.submit("simple_demo", {}, "me")[0]


def look(store: JobStore, clock: Clock, *, run: Run = Run.UNKNOWN) -> Settled:
    """Reconcile; all runs are as given, and launching always works."""
    return reconcile(store, clock(), lambda job: f"run of {job.id}", lambda ids: dict.fromkeys(ids, run))


def state(store: JobStore, job: Job) -> State | None:
    found = store.get(job.id)
    return found.state if found else None


def test_jobs_that_ended_do_not_hide_lost_ones(store: JobStore, clock: Clock) -> None:
    for final in (State.SUCCEEDED, State.FAILED, State.TIMED_OUT):
        for _ in range(34):
            store.finish(store.claim(submit(store).id, "run"), final)
    clock.forward(seconds=1)
    lost = store.claim(submit(store).id, "lost")
    clock.forward(minutes=2)
    # An ended job that stayed in the index would be read by each look, for ever.
    assert {job.id for each in State for page in store.untouched(each, clock()) for job in page} == {lost.id}
    assert look(store, clock) == Settled(again=1)
    assert state(store, lost) is State.SUBMITTED


def test_jobs_that_wait_in_the_queue_do_not_hide_lost_ones(store: JobStore, clock: Clock) -> None:
    waiting = [submit(store) for _ in range(MORE_THAN_A_PAGE)]
    for job in waiting:
        store.launched(job.id, "waits")
    clock.forward(seconds=1)
    lost = submit(store)
    store.launched(lost.id, "ended")
    clock.forward(minutes=2)
    known = {"waits": Run.WAITING, "ended": Run.ENDED}
    assert reconcile(store, clock(), lambda job: "again", lambda ids: {each: known[each] for each in ids}).again == 1
    assert state(store, lost) is State.SUBMITTED
    assert {state(store, job) for job in waiting} == {State.QUEUED}


def test_all_lost_jobs_are_settled_in_one_look(store: JobStore, clock: Clock) -> None:
    lost = [store.claim(submit(store).id, "lost") for _ in range(MORE_THAN_A_PAGE)]
    clock.forward(minutes=2)
    assert look(store, clock) == Settled(again=MORE_THAN_A_PAGE)
    assert {state(store, job) for job in lost} == {State.SUBMITTED}


def test_cancelled_jobs_whose_run_was_lost_end_as_cancelled(store: JobStore, clock: Clock) -> None:
    lost = store.claim(submit(store).id, "lost")
    store.request_cancel(lost.id)
    clock.forward(seconds=29)
    assert look(store, clock) == Settled()
    clock.forward(seconds=2)
    assert look(store, clock) == Settled(ended=1, failed=0)
    assert state(store, lost) is State.CANCELLED


def test_a_job_that_was_never_started_fails_and_is_counted(store: JobStore, clock: Clock) -> None:
    job = submit(store)
    total = Settled()
    for _ in range(25):
        clock.forward(minutes=2)
        total = Settled(*(a + b for a, b in zip(total, look(store, clock, run=Run.ENDED), strict=True)))
    assert (total.launched, total.ended, total.failed) == (10, 1, 1)
    failed = store.get(job.id)
    assert failed is not None
    assert failed.error is not None
    assert failed.error.code == "never_started"
    assert "10 runs" in failed.error.detail


def test_a_lost_job_starts_again_without_the_rows_of_the_lost_run(store: JobStore, clock: Clock) -> None:
    lost = store.claim(submit(store).id, "lost")
    store.heartbeat(lost.id, "lost", 1234)
    clock.forward(minutes=2)
    look(store, clock)
    again = store.get(lost.id)
    assert again is not None
    assert again.rows_written is None


def test_dagster_that_cannot_be_reached_ends_the_launching_but_not_the_rest(store: JobStore, clock: Clock) -> None:
    lost = store.claim(submit(store).id, "lost")
    for _ in range(3):
        submit(store)
    clock.forward(minutes=2)
    asked: list[str] = []

    def away(job: Job) -> str:
        asked.append(job.id)
        raise Transient("Dagster is away")

    assert reconcile(store, clock(), away, lambda ids: {}) == Settled(again=1)
    assert state(store, lost) is State.SUBMITTED
    assert len(asked) == 1


def test_a_job_that_moves_on_meanwhile_is_left_and_the_next_is_settled(store: JobStore, clock: Clock) -> None:
    first, second = submit(store), submit(store)
    clock.forward(minutes=2)
    launched: list[Any] = []

    def launch(job: Job) -> str:
        store.request_cancel(job.id)
        launched.append(job.id)
        return "run"

    assert reconcile(store, clock(), launch, lambda ids: {}) == Settled()
    assert {*launched} == {first.id, second.id}
