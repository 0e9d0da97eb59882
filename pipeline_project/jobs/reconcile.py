"""Sees to it that every accepted job comes to an end: launches what was not launched, settles what was lost.

What to do is decided by pure functions from record, clock and the run's state; a sensor calls `reconcile` and brings what
it knows of the runs. Doing it twice, or from two places at once, does no harm: every write is conditional.
"""

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import NamedTuple

from pipeline_project.errors import Transient
from pipeline_project.jobs.model import Failure, Job, State, moment
from pipeline_project.jobs.store import JobStore, StateConflict

LAUNCH_AFTER = dt.timedelta(seconds=10)
"""Whoever submits launches, too. After this long nobody is about to any more."""
CLAIM_WITHIN = dt.timedelta(seconds=60)
"""A launched run that is not waiting in a queue claims its job within seconds."""
LOST_AFTER = dt.timedelta(seconds=30)
"""A run says every second that it lives."""
ATTEMPTS = 3
"""Runs that may claim a job and be lost. One of them may be its own victim: a job that takes its worker down."""
LAUNCHES = 10
"""Runs that may be launched for a job and end without claiming it."""

logger = logging.getLogger("pipeline.jobs")


class Run(Enum):
    """What the orchestrator knows of a job's run."""

    WAITING = auto()
    STARTED = auto()
    ENDED = auto()
    UNKNOWN = auto()


class Action(Enum):
    LEAVE = auto()
    LAUNCH = auto()
    SUBMIT_AGAIN = auto()
    FAIL_NEVER_STARTED = auto()
    FAIL_WORKER_LOST = auto()
    CANCEL = auto()


class Settled(NamedTuple):
    """How many jobs were launched, put back to be launched again, brought to an end, and how many of these failed."""

    launched: int = 0
    again: int = 0
    ended: int = 0
    failed: int = 0


def decide(job: Job, run: Run, now: dt.datetime) -> Action:
    """What has to happen to a job that is not at an end."""
    silent = now - moment(job.updated_at)
    match job.state:
        case State.SUBMITTED if silent < LAUNCH_AFTER:
            return Action.LEAVE
        case State.SUBMITTED:
            return Action.LAUNCH if job.launches < LAUNCHES else Action.FAIL_NEVER_STARTED
        case State.QUEUED if run is Run.WAITING or silent < CLAIM_WITHIN:
            return Action.LEAVE
        case State.QUEUED:
            # Launched again, even if the run should still come: it then finds the job claimed, and leaves.
            return Action.SUBMIT_AGAIN if job.launches < LAUNCHES else Action.FAIL_NEVER_STARTED
        case State.RUNNING | State.CANCELLING if silent < LOST_AFTER:
            return Action.LEAVE
        case State.RUNNING:
            return Action.SUBMIT_AGAIN if job.attempts < ATTEMPTS else Action.FAIL_WORKER_LOST
        case State.CANCELLING:
            return Action.CANCEL
        case _:
            return Action.LEAVE


def reconcile(
    store: JobStore,
    now: dt.datetime,
    launch: Callable[[Job], str],
    runs: Callable[[list[str]], Mapping[str, Run]],
) -> Settled:
    """Look at open jobs that nobody has touched for a while, and do what `decide` says.

    `launch` starts a run and gives its id (jobs/launch.py); Transient from it ends the launching for this time. `runs`
    tells of runs by their ids; what it leaves out is UNKNOWN.
    """
    launched, again, ended, failed = 0, 0, 0, 0
    for job, action in _untouched(store, now, runs):
        try:
            if action is Action.LAUNCH:
                launched += store.launched(job.id, launch(job)) is not None
            elif action is Action.SUBMIT_AGAIN:
                _submit_again(store, job)
                again += 1
            elif action is not Action.LEAVE:
                _end(store, job, action)
                ended += 1
                failed += action is not Action.CANCEL
        except StateConflict:
            continue  # it moved on meanwhile
        except Transient as error:
            logger.warning("job %s stays as it is for now: %s", job.id, error)
            if action is Action.LAUNCH:
                break
    return Settled(launched, again, ended, failed)


def _untouched(
    store: JobStore, now: dt.datetime, runs: Callable[[list[str]], Mapping[str, Run]]
) -> Iterator[tuple[Job, Action]]:
    """Yield the jobs to look at and what has to happen to each. Jobs to launch come last."""
    for state, after in (
        (State.CANCELLING, LOST_AFTER),
        (State.RUNNING, LOST_AFTER),
        (State.QUEUED, CLAIM_WITHIN),
        (State.SUBMITTED, LAUNCH_AFTER),
    ):
        for jobs in store.untouched(state, now - after):
            known = runs([job.run_id for job in jobs if job.run_id]) if state is State.QUEUED else {}
            yield from ((job, decide(job, known.get(job.run_id or "", Run.UNKNOWN), now)) for job in jobs)


def _submit_again(store: JobStore, job: Job) -> None:
    store.transition(job.id, [job.state], State.SUBMITTED, unchanged=job, rows_written=None)


def _end(store: JobStore, job: Job, action: Action) -> None:
    state, error = {
        Action.CANCEL: (State.CANCELLED, None),
        Action.FAIL_NEVER_STARTED: (
            State.FAILED,
            Failure(code="never_started", detail=f"{job.launches} runs were launched and none began"),
        ),
        Action.FAIL_WORKER_LOST: (
            State.FAILED,
            Failure(code="worker_lost", detail=f"the worker was lost {job.attempts} times"),
        ),
    }[action]
    store.transition(job.id, [job.state], state, unchanged=job, error=error)
