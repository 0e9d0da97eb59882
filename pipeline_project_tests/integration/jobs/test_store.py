"""The job record under contention, in a real DynamoDB API: of two who would move a job, one wins."""

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pipeline_project.jobs.model import Job, State, now
from pipeline_project.jobs.reconcile import Run, Settled, reconcile
from pipeline_project.jobs.store import IdempotencyConflict, JobStore, StateConflict, TooManyJobs
from pipeline_project.results.options import Format, ResultOptions
from pipeline_project_tests.fix_api import Cloud

LATER = dt.timedelta(minutes=2)


def submit(store: JobStore, **options: Any) -> Job:
    return store.submit("simple_demo", {"n": 1}, "me", **options)[0]


def at_once(count: int, call: Callable[[], Any]) -> list[Any]:
    """The outcomes of so many calls side by side; exceptions are outcomes, too."""

    def outcome(_: int) -> Any:
        try:
            return call()
        except (StateConflict, TooManyJobs) as error:
            return error

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(outcome, range(count)))


def test_one_idempotency_key_is_one_job(cloud: Cloud) -> None:
    store = cloud.jobs(open_jobs=1)
    outcomes = at_once(100, lambda: store.submit("simple_demo", {}, "me", idempotency_key="k"))
    assert len({job.id for job, _ in outcomes}) == 1
    assert sum(new for _, new in outcomes) == 1
    assert store.listing("me").jobs == [outcomes[0][0]]


def test_idempotency_key_with_another_question(cloud: Cloud) -> None:
    store = cloud.jobs()
    first = submit(store, idempotency_key="k")
    with pytest.raises(IdempotencyConflict):
        submit(store, idempotency_key="k", options=ResultOptions(format=Format.CSV))
    other, new = store.submit("simple_demo", {"n": 1}, "you", idempotency_key="k")
    assert new
    assert other.id != first.id


def test_one_question_in_another_order_is_the_same_question(cloud: Cloud) -> None:
    store = cloud.jobs()
    first, _ = store.submit("x", {"a": 1, "b": {"c": 2, "d": 3}}, "me", idempotency_key="k")
    assert store.submit("x", {"b": {"d": 3, "c": 2}, "a": 1}, "me", idempotency_key="k") == (first, False)


def test_expired_idempotency_key_may_be_used_again(cloud: Cloud) -> None:
    first = submit(cloud.jobs(clock=lambda: now() - dt.timedelta(days=40)), idempotency_key="k")
    store = cloud.jobs()
    assert store.get(first.id) is None
    again, new = store.submit("another", {}, "me", idempotency_key="k")
    assert (new, again.id) == (True, first.id)


def test_two_workers_claim_one_job(cloud: Cloud) -> None:
    store = cloud.jobs()
    job = submit(store)
    runs = iter(range(20))
    outcomes = at_once(20, lambda: store.claim(job.id, f"run-{next(runs)}"))
    [winner] = [each for each in outcomes if isinstance(each, Job)]
    assert store.get(job.id) == winner
    assert all(each.job.state is State.RUNNING for each in outcomes if each is not winner)


def test_claim_before_the_launch_is_written(cloud: Cloud) -> None:
    store = cloud.jobs()
    job = submit(store)
    claimed = store.claim(job.id, "fast")
    assert store.launched(job.id, "fast") is None
    assert store.get(job.id) == claimed


@pytest.mark.parametrize("final", [state for state in State if state.is_final])
def test_final_states_do_not_change(cloud: Cloud, final: State) -> None:
    store = cloud.jobs()
    job = store.claim(submit(store).id, "run")
    ended = store.finish(job, final)
    for state in State:
        with pytest.raises(StateConflict):
            store.transition(job.id, [each for each in State if not each.is_final], state)
    with pytest.raises(StateConflict):
        store.heartbeat(job.id, "run")
    assert store.request_cancel(job.id) == ended
    assert store.get(job.id) == ended


@pytest.mark.parametrize(
    ("final", "cancelling"),
    [(final, cancelling) for final in State if final.is_final for cancelling in (False, True)],
)
def test_a_job_that_is_being_cancelled_does_not_succeed(cloud: Cloud, final: State, cancelling: bool) -> None:
    store = cloud.jobs()
    job = store.claim(submit(store).id, "run")
    if cancelling:
        store.request_cancel(job.id)
    if cancelling and final is State.SUCCEEDED:
        with pytest.raises(StateConflict):
            store.finish(job, final)
    else:
        assert store.finish(job, final).state is final


def test_only_the_run_that_holds_a_job_ends_it(cloud: Cloud) -> None:
    store = cloud.jobs()
    first = store.claim(submit(store).id, "first")
    store.transition(first.id, [State.RUNNING], State.SUBMITTED)
    second = store.claim(first.id, "second")
    with pytest.raises(StateConflict):
        store.finish(first, State.SUCCEEDED)
    with pytest.raises(StateConflict):
        store.heartbeat(first.id, "first")
    assert store.finish(second, State.SUCCEEDED).attempts == 2


def test_end_and_event_are_written_together(cloud: Cloud) -> None:
    store = cloud.jobs()
    job = store.claim(submit(store).id, "run")
    outcomes = at_once(8, lambda: store.finish(job, State.SUCCEEDED))
    assert sum(isinstance(each, Job) for each in outcomes) == 1
    [event] = cloud.outbox().waiting()
    assert (event["type"], event["data"]["job_id"]) == ("pipeline.job.ended.v1", job.id)


def test_limit_of_open_jobs(cloud: Cloud) -> None:
    store = cloud.jobs(open_jobs=3)
    outcomes = at_once(10, lambda: submit(store))
    jobs = [each for each in outcomes if isinstance(each, Job)]
    assert len(jobs) == 3
    store.submit("simple_demo", {}, "somebody else")
    store.request_cancel(jobs[0].id)
    submit(store)
    with pytest.raises(TooManyJobs):
        submit(store)


def test_limit_heals_when_an_end_was_half_written(cloud: Cloud) -> None:
    store = cloud.jobs(open_jobs=1)
    job = submit(store)
    # As if the function had been killed between the end of the job and its leaving the set.
    cloud.dynamodb.update_item(
        TableName=cloud.settings.table_name,
        Key={"pk": {"S": f"job#{job.id}"}, "sk": {"S": "job"}},
        UpdateExpression="SET #state = :state",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":state": {"S": "SUCCEEDED"}},
    )
    assert submit(store).id != job.id


def test_listing(cloud: Cloud) -> None:
    moments = iter(range(100))
    began = now()
    store = cloud.jobs(clock=lambda: began + dt.timedelta(seconds=next(moments)), open_jobs=50)
    jobs = [store.submit("ab"[n % 2], {}, "me")[0] for n in range(9)]
    store.submit("a", {}, "you")
    newest_first = jobs[::-1]
    seen: list[Job] = []
    page = store.listing("me", limit=4)
    while True:
        seen += page.jobs
        if page.after is None:
            break
        page = store.listing("me", limit=4, after=page.after)
    assert seen == newest_first
    assert store.listing("me", operation="b").jobs == [job for job in newest_first if job.operation == "b"]
    assert store.listing("me", states=[State.RUNNING]).jobs == []
    bounded = store.listing("me", created_from=jobs[2].created_at, created_before=jobs[5].created_at)
    assert bounded.jobs == jobs[2:5][::-1]
    assert store.listing("me", created_from=jobs[5].created_at, created_before=jobs[2].created_at).jobs == []


def test_a_page_of_a_filtered_listing_is_never_longer_than_its_limit(cloud: Cloud) -> None:
    moments = iter(range(100))
    began = now()
    store = cloud.jobs(clock=lambda: began + dt.timedelta(seconds=next(moments)), open_jobs=50)
    jobs = [store.submit("ab"[n % 2], {}, "me")[0] for n in range(8)]
    wanted = [job for job in jobs[::-1] if job.operation == "b"]
    for limit in range(1, 6):  # below, at and beyond the number that there is
        page = store.listing("me", operation="b", limit=limit)
        assert page.jobs == wanted[:limit]
        rest = store.listing("me", operation="b", limit=9, after=page.after).jobs if page.after else []
        assert page.jobs + rest == wanted


@pytest.fixture
def reads(cloud: Cloud) -> list[int]:
    """The number of jobs that each read of a listing may look at."""
    found: list[int] = []
    cloud.dynamodb.meta.events.register(
        "provide-client-params.dynamodb.Query", lambda params, **_: found.append(params["Limit"])
    )
    return found


def test_a_page_is_full_unless_the_list_ends(cloud: Cloud, reads: list[int]) -> None:
    """Three of fifty jobs match, and others lie before, between and behind them."""
    moments = iter(range(1_000))
    began = now()
    store = cloud.jobs(clock=lambda: began + dt.timedelta(seconds=next(moments)), open_jobs=60)
    jobs = [store.submit("rare" if n in (5, 20, 21) else "other", {}, "me")[0] for n in range(50)]
    rare = [jobs[21], jobs[20], jobs[5]]
    for limit in (1, 2, 3, 4):
        pages = [store.listing("me", operation="rare", limit=limit)]
        while pages[-1].after:
            pages.append(store.listing("me", operation="rare", limit=limit, after=pages[-1].after))
        assert [job for page in pages for job in page.jobs] == rare
        assert [len(page.jobs) for page in pages] == [limit] * (3 // limit) + [3 % limit] * (3 % limit > 0)
    assert len(reads) == 3 + 2 + 1 + 1
    for limit in (25, 50, 51):  # a list that ends where a page ends has no further page
        page = store.listing("me", limit=limit)
        assert (len(page.jobs), page.after is None) == (min(limit, 50), limit >= 50)


def test_the_work_for_a_page_is_bounded(cloud: Cloud, reads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline_project.jobs.store.EVALUATED", (2, 3, 3))
    moments = iter(range(1_000))
    began = now()
    store = cloud.jobs(clock=lambda: began + dt.timedelta(seconds=next(moments)), open_jobs=60)
    first = store.submit("rare", {}, "me")[0]
    for _ in range(20):
        store.submit("other", {}, "me")
    page = store.listing("me", operation="rare", limit=1)
    assert (page.jobs, reads) == ([], [2, 3, 3])
    while page.after:
        page = store.listing("me", operation="rare", limit=1, after=page.after)
    assert page.jobs == [first]
    assert max(reads) == 3


def test_reconcile_brings_everything_to_an_end(cloud: Cloud) -> None:
    """Launched into nothing again and again, claimed by workers that die: in the end each job is FAILED, once."""
    clock = [now()]
    store = cloud.jobs(clock=lambda: clock[0])
    never_claimed, dies, cancelled = submit(store), submit(store), submit(store)
    store.claim(cancelled.id, "x")
    store.request_cancel(cancelled.id)
    total = Settled()
    for _ in range(40):
        clock[0] += LATER
        settled = reconcile(store, clock[0], lambda job: f"run of {job.id}", lambda ids: dict.fromkeys(ids, Run.ENDED))
        total = Settled(*(a + b for a, b in zip(total, settled, strict=True)))
        found = store.get(dies.id)
        if found and found.state is State.QUEUED:
            store.claim(dies.id, "doomed")
    ends = {job.id: store.get(job.id) for job in (never_claimed, dies, cancelled)}
    codes = {job_id: job.error.code if job and job.error else None for job_id, job in ends.items()}
    assert codes == {never_claimed.id: "never_started", dies.id: "worker_lost", cancelled.id: None}
    assert total.ended == 3
    assert len(list(cloud.outbox().waiting())) == 3


def test_two_reconcilers_at_once(cloud: Cloud) -> None:
    clock = [now()]
    store = cloud.jobs(clock=lambda: clock[0])
    for _ in range(5):
        store.claim(submit(store).id, "lost")
    clock[0] += LATER
    outcomes = at_once(4, lambda: reconcile(store, clock[0], lambda job: "run", lambda ids: {}))
    assert sum(each.again for each in outcomes) == 5
