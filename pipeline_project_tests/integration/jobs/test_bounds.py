"""Bounds of jobs, events and cached results, at their value and one beyond. The values are written here."""

import datetime as dt
import os

import msgspec
import pytest

from pipeline_project.jobs.cache import PREFIX, Kept, QueryCache, Refusal
from pipeline_project.jobs.model import State, now
from pipeline_project.jobs.outbox import Event, Outbox, cloud_event
from pipeline_project.jobs.store import JobStore, TooManyJobs
from pipeline_project_tests.fix_api import Cloud


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = now().replace(microsecond=0)

    def __call__(self) -> dt.datetime:
        return self.time

    def forward(self, **time: float) -> None:
        self.time += dt.timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def event(name: str, second: int) -> Event:
    return cloud_event(name, "job.ended", f"jobs/{name}", f"2026-11-23T12:00:{second:02}.000Z", {})


def names(outbox: Outbox) -> list[str]:
    return [each["id"] for each in outbox.waiting()]


def test_a_job_is_kept_for_thirty_days_and_not_longer(cloud: Cloud, clock: Clock) -> None:
    store = cloud.jobs(clock=clock)
    job, _ = store.submit("simple_demo", {}, "me")
    clock.forward(days=30, seconds=-1)
    assert store.get(job.id) == job
    assert store.listing("me").jobs == [job]
    clock.forward(seconds=1)
    assert store.get(job.id) is None
    assert store.listing("me").jobs == []


def test_an_idempotency_key_is_free_again_at_the_expiry_of_its_job(cloud: Cloud, clock: Clock) -> None:
    store = cloud.jobs(clock=clock)
    store.submit("simple_demo", {}, "me", idempotency_key="k")
    clock.forward(days=30, seconds=-1)
    assert store.submit("simple_demo", {}, "me", idempotency_key="k")[1] is False
    clock.forward(seconds=1)
    assert store.submit("simple_demo", {}, "me", idempotency_key="k")[1] is True


def test_twenty_jobs_may_be_open_unless_another_limit_is_set(cloud: Cloud) -> None:
    store = cloud.jobs()
    for _ in range(20):
        store.submit("simple_demo", {}, "me")
    with pytest.raises(TooManyJobs, match="20 jobs"):
        store.submit("simple_demo", {}, "me")


def test_a_page_has_fifty_jobs_unless_another_limit_is_set(cloud: Cloud, clock: Clock) -> None:
    store = cloud.jobs(clock=clock, open_jobs=100)
    for _ in range(51):
        clock.forward(seconds=1)
        store.submit("simple_demo", {}, "me")
    page = store.listing("me")
    assert len(page.jobs) == 50
    assert len(store.listing("me", after=page.after).jobs) == 1


def test_states_of_a_listing_may_come_from_an_iterator(cloud: Cloud) -> None:
    store = cloud.jobs()
    job, _ = store.submit("simple_demo", {}, "me")
    store.submit("simple_demo", {}, "me")
    store.claim(job.id, "run")
    assert [each.id for each in store.listing("me", states=iter([State.RUNNING])).jobs] == [job.id]


def test_an_untouched_job_was_written_before_the_bound(cloud: Cloud, clock: Clock) -> None:
    store = cloud.jobs(clock=clock)
    job, _ = store.submit("simple_demo", {}, "me")

    def untouched(**later: float) -> list[str]:
        since = clock() + dt.timedelta(**later)
        return [each.id for page in store.untouched(State.SUBMITTED, since) for each in page]

    assert untouched() == []
    assert untouched(milliseconds=1) == [job.id]


def test_events_wait_oldest_first_and_go_behind_when_they_are_put_off(cloud: Cloud, clock: Clock) -> None:
    outbox = Outbox(cloud.dynamodb, cloud.settings.table_name, clock)
    for second, name in ((3, "c"), (1, "a"), (2, "b")):
        assert outbox.put(event(name, second))
    assert not outbox.put(event("a", 9)), "an event is put once"
    assert names(outbox) == ["a", "b", "c"]
    outbox.put_off(event("a", 1))
    assert names(outbox) == ["b", "c", "a"]
    outbox.sent(event("b", 2))
    outbox.put_off(event("b", 2))
    assert names(outbox) == ["c", "a"], "an event that was sent does not come back"
    outbox.sent(event("never put", 1))
    assert names(outbox) == ["c", "a"]


def test_a_hundred_events_are_read_at_once(cloud: Cloud, clock: Clock) -> None:
    outbox = Outbox(cloud.dynamodb, cloud.settings.table_name, clock)
    for number in range(101):
        outbox.put(event(f"{number:03}", number % 60))
    assert len(names(outbox)) == 100


def test_a_sent_event_is_kept_for_seven_days(cloud: Cloud, clock: Clock) -> None:
    outbox = Outbox(cloud.dynamodb, cloud.settings.table_name, clock)
    outbox.put(event("a", 1))
    outbox.sent(event("a", 1))
    key = {"pk": {"S": "event#a"}, "sk": {"S": "event"}}
    found = cloud.dynamodb.get_item(TableName=cloud.settings.table_name, Key=key)["Item"]
    assert int(found["expireAt"]["N"]) == int(clock().timestamp()) + 7 * 86_400


def cache(cloud: Cloud, clock: Clock) -> QueryCache:
    table, bucket = cloud.settings.table_name, cloud.settings.results_bucket
    return QueryCache(cloud.dynamodb, table, lambda: cloud.s3, bucket, clock=clock)


def test_a_result_is_cached_for_an_hour_and_a_refusal_for_half_a_minute(cloud: Cloud, clock: Clock) -> None:
    kept = cache(cloud, clock)
    refusal = Refusal("slow", "it is slow", 1.5)
    result = Kept.of(b"rows")
    kept.put("result", result)
    kept.refuse("refusal", refusal)
    clock.forward(seconds=29)
    assert (kept.get("result"), kept.get("refusal")) == (result, refusal)
    clock.forward(seconds=1)
    assert (kept.get("result"), kept.get("refusal")) == (result, None)
    clock.forward(seconds=3_600 - 31)
    assert kept.get("result") == result
    clock.forward(seconds=1)
    assert kept.get("result") is None


def test_a_claim_of_a_query_ends_after_its_time(cloud: Cloud, clock: Clock) -> None:
    kept = cache(cloud, clock)
    assert kept.claim("query", 10)
    clock.forward(seconds=10)
    assert kept.claim("query", 10) is None
    clock.forward(seconds=1)
    assert kept.claim("query", 10)


def test_a_result_that_an_item_cannot_hold_goes_to_s3(cloud: Cloud, clock: Clock) -> None:
    """An item of DynamoDB has at most 400 KB with its names and keys. Random bytes do not get smaller."""
    kept = cache(cloud, clock)
    small, large = Kept.of(os.urandom(380 * 1024 - 1000)), Kept.of(os.urandom(380 * 1024))
    kept.put("small", small)
    kept.put("large", large)
    assert (kept.get("small"), kept.get("large")) == (small, large)
    listed = cloud.s3.list_objects_v2(Bucket=cloud.settings.results_bucket)
    assert [each["Key"] for each in listed["Contents"]] == [f"{PREFIX}large"]


def test_the_settings_bound_jobs(cloud: Cloud) -> None:
    settings = msgspec.structs.replace(cloud.settings, job_retention_days=2, api_max_unfinished_jobs=1)
    store = JobStore.from_settings(settings, cloud.dynamodb)
    job, _ = store.submit("simple_demo", {}, "me")
    created, expires = (dt.datetime.fromisoformat(each) for each in (job.created_at, job.expires_at))
    assert expires - created == dt.timedelta(days=2)
    with pytest.raises(TooManyJobs, match="1 jobs"):
        store.submit("simple_demo", {}, "me")
