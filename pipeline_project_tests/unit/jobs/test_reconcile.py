"""What happens to a job that is not at an end, by its state, its age and its run."""

import datetime as dt
from typing import Any

import pytest

from pipeline_project.jobs.model import TRANSITIONS, Job, State, moment, timestamp
from pipeline_project.jobs.reconcile import Action, Run, decide
from pipeline_project.results.options import Format

THEN = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def job(state: State, **fields: Any) -> Job:
    at = timestamp(THEN)
    return Job(
        id="1",
        owner="me",
        operation="simple_demo",
        parameters={},
        format=Format.JSON,
        state=state,
        fingerprint="",
        created_at=at,
        updated_at=at,
        expires_at=at,
        **fields,
    )


@pytest.mark.parametrize(
    ("given", "run", "seconds", "action"),
    [
        (job(State.SUBMITTED), Run.UNKNOWN, 9.999, Action.LEAVE),
        (job(State.SUBMITTED), Run.UNKNOWN, 10, Action.LAUNCH),
        (job(State.SUBMITTED, launches=9), Run.UNKNOWN, 11, Action.LAUNCH),
        (job(State.SUBMITTED, launches=10), Run.UNKNOWN, 11, Action.FAIL_NEVER_STARTED),
        (job(State.SUBMITTED, launches=10), Run.UNKNOWN, 9, Action.LEAVE),
        (job(State.QUEUED, launches=1), Run.STARTED, 59.999, Action.LEAVE),
        (job(State.QUEUED, launches=1), Run.STARTED, 60, Action.SUBMIT_AGAIN),
        (job(State.QUEUED, launches=10), Run.WAITING, 3600, Action.LEAVE),
        (job(State.QUEUED, launches=1), Run.ENDED, 60, Action.SUBMIT_AGAIN),
        (job(State.QUEUED, launches=9), Run.UNKNOWN, 60, Action.SUBMIT_AGAIN),
        (job(State.QUEUED, launches=10), Run.ENDED, 60, Action.FAIL_NEVER_STARTED),
        (job(State.RUNNING, attempts=1), Run.STARTED, 29.999, Action.LEAVE),
        (job(State.RUNNING, attempts=2), Run.STARTED, 30, Action.SUBMIT_AGAIN),
        (job(State.RUNNING, attempts=3), Run.ENDED, 29.999, Action.LEAVE),
        (job(State.RUNNING, attempts=3), Run.ENDED, 30, Action.FAIL_WORKER_LOST),
        (job(State.CANCELLING, attempts=1), Run.STARTED, 29.999, Action.LEAVE),
        (job(State.CANCELLING, attempts=3), Run.ENDED, 30, Action.CANCEL),
        (job(State.SUCCEEDED), Run.ENDED, 10**6, Action.LEAVE),
    ],
)
def test_decide(given: Job, run: Run, seconds: float, action: Action) -> None:
    assert decide(given, run, THEN + dt.timedelta(seconds=seconds)) is action


def test_final_states_are_final() -> None:
    assert {state for state in State if state.is_final} == {
        State.SUCCEEDED,
        State.FAILED,
        State.CANCELLED,
        State.TIMED_OUT,
    }


def test_a_job_moves_in_these_ways_only() -> None:
    assert {state.value: {after.value for after in allowed} for state, allowed in TRANSITIONS.items()} == {
        "SUBMITTED": {"QUEUED", "RUNNING", "CANCELLED", "FAILED"},
        "QUEUED": {"RUNNING", "SUBMITTED", "CANCELLED", "FAILED"},
        "RUNNING": {"SUCCEEDED", "FAILED", "TIMED_OUT", "CANCELLING", "CANCELLED", "SUBMITTED"},
        "CANCELLING": {"CANCELLED", "FAILED", "TIMED_OUT"},
        "SUCCEEDED": set(),
        "FAILED": set(),
        "CANCELLED": set(),
        "TIMED_OUT": set(),
    }


def test_every_open_state_leads_to_an_end() -> None:
    reached = {state for state in State if state.is_final}
    for _ in State:
        reached |= {state for state in State if TRANSITIONS[state] & reached}
    assert reached == set(State)


def test_times_sort_as_text() -> None:
    times = [THEN, THEN + dt.timedelta(milliseconds=1), THEN.replace(year=9999), THEN.replace(year=1)]
    assert sorted(map(timestamp, times)) == [timestamp(each) for each in sorted(times)]
    assert all(moment(timestamp(each)) == each for each in times)
