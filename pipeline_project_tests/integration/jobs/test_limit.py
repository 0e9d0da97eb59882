"""The limit of open jobs holds whatever happens between two calls of DynamoDB, and each end makes room.

The calls of one submission are counted, and others act before the n-th of them, for each n. No thread and no luck is needed.
"""

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from pipeline_project.aws import client
from pipeline_project.jobs.model import Job, now
from pipeline_project.jobs.store import JobStore, TooManyJobs
from pipeline_project_tests.fix_api import Cloud
from pipeline_project_tests.fix_aws import inject

CALLS = range(8)
"""More than any submission makes."""
CONFLICT = b"""{"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "message": "cancelled",
    "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}]}"""


def submit(store: JobStore, **options: Any) -> Job | None:
    """Return the job, or None if there are too many."""
    with suppress(TooManyJobs):
        return store.submit("simple_demo", {}, "me", **options)[0]
    return None


def interrupted(cloud: Cloud, call: int, meanwhile: Callable[[], Any], **options: Any) -> JobStore:
    """Return a store that lets others act before one of its calls."""
    dynamodb = client(cloud.settings, "dynamodb")
    calls = iter(range(1000))

    def count(**_: Any) -> None:
        if next(calls) == call:
            meanwhile()

    dynamodb.meta.events.register("before-call.dynamodb", count)
    return JobStore(dynamodb, cloud.settings.table_name, **options)


def open_jobs(cloud: Cloud) -> list[Job]:
    return [job for job in cloud.jobs().listing("me").jobs if not job.state.is_final]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("ended", [0, 2])
def test_limit_holds_while_others_submit_between_two_calls_of_a_submission(cloud: Cloud, call: int, ended: int) -> None:
    others = cloud.jobs(open_jobs=3)
    for job in [submit(others) for _ in range(ended)]:
        assert job is not None
        others.request_cancel(job.id)
    store = interrupted(cloud, call, lambda: [submit(others) for _ in range(5)], open_jobs=3)
    submit(store)
    assert len(open_jobs(cloud)) <= 3
    for _ in range(3):
        submit(others)
    assert len(open_jobs(cloud)) == 3


@pytest.mark.parametrize("call", CALLS)
def test_limit_holds_while_an_expired_job_comes_again_under_its_key(cloud: Cloud, call: int) -> None:
    long_ago = cloud.jobs(clock=lambda: now() - dt.timedelta(days=40), open_jobs=1)
    submit(long_ago, idempotency_key="k")
    others = cloud.jobs(open_jobs=1)
    store = interrupted(cloud, call, lambda: submit(others, idempotency_key="k"), open_jobs=1)
    submit(store)
    assert len(open_jobs(cloud)) == 1


@pytest.mark.parametrize("call", CALLS)
def test_one_key_is_one_job_though_it_is_sent_again_between_two_calls(cloud: Cloud, call: int) -> None:
    others = cloud.jobs(open_jobs=1)
    store = interrupted(cloud, call, lambda: submit(others, idempotency_key="k"), open_jobs=1)
    job, _ = store.submit("simple_demo", {}, "me", idempotency_key="k")
    assert open_jobs(cloud) == [job]


def test_each_end_makes_room_for_one_job(cloud: Cloud) -> None:
    store = cloud.jobs(open_jobs=2)
    first, second = submit(store), submit(store)
    assert first is not None
    assert second is not None
    for _ in range(2):  # cancelled twice, it makes room once
        store.request_cancel(first.id)
    assert submit(store) is not None
    assert submit(store) is None
    assert store.get(second.id) == second


def test_submission_that_meets_another_transaction_is_tried_again(cloud: Cloud) -> None:
    inject(cloud.dynamodb, [(400, CONFLICT)] * 3)
    assert submit(cloud.jobs(open_jobs=1)) is not None
    assert submit(cloud.jobs(open_jobs=1)) is None
