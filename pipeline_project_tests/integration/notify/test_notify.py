"""Events on their way out: from the ledger to the outbox, from the outbox to SNS, from SNS to a listener."""

import datetime as dt
import json
import threading
from collections import Counter
from typing import Any

import msgspec
import psycopg
import pytest
from botocore.exceptions import EndpointConnectionError

from pipeline_project.jobs.model import now, timestamp
from pipeline_project.jobs.outbox import Event, cloud_event
from pipeline_project.notify.delivery import Delivery
from pipeline_project.notify.events import Notifier
from pipeline_project.notify.ingest import OVERLAP, Announced, announce, backlog
from pipeline_project.notify.subscriber import subscribed
from pipeline_project_tests.fix_api import Cloud
from pipeline_project_tests.fix_postgres import FreshDatabase

LONG_AGO = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NOW = LONG_AGO + dt.timedelta(minutes=30)
SHARE = 0.05
OBJECT = """INSERT INTO ingest.objects (object_id, bucket, key, version, versioned, size, discovered_by, state, records,
    rejected, error_code, error_message, finished_at)
    VALUES (%s, 'b', %s, %s, true, 1, 'event', %s, %s, %s, %s, 'a value of the row', %s)"""


def settle(database: FreshDatabase, object_id: int, state: str, records: int = 0, rejected: int = 0) -> None:
    at = LONG_AGO + dt.timedelta(minutes=object_id)
    code = "not_json" if state == "failed" else None
    with psycopg.connect(database.admin) as connection:
        connection.execute(
            OBJECT, (object_id, f"crm-data/{object_id}.json", str(object_id), state, records, rejected, code, at)
        )


@pytest.fixture
def delivery(cloud: Cloud) -> Delivery:
    return Delivery(cloud.outbox(), Notifier(cloud.sns, cloud.settings.events_topic_arn))


def test_ingest_events(cloud: Cloud, database: FreshDatabase) -> None:
    settle(database, 1, "failed")
    settle(database, 2, "loaded_with_rejects", records=100, rejected=50)
    settle(database, 3, "loaded_with_rejects", records=100, rejected=1)
    settle(database, 4, "loaded", records=100)
    settle(database, 5, "unroutable")
    outbox = cloud.outbox()
    assert announce(database.loader, outbox, LONG_AGO, NOW, SHARE) == Announced(3, Counter(unroutable=2), NOW - OVERLAP)
    waiting = list(outbox.waiting())
    assert [event["type"].split(".")[2] for event in waiting] == ["failed", "rejected", "failed"]
    assert waiting[0]["subject"] == "crm-data/1.json"
    assert waiting[1]["data"]["rejected"] == 50
    assert "a value of the row" not in str(waiting)
    assert announce(database.loader, outbox, LONG_AGO, NOW, SHARE).events == 0
    assert list(outbox.waiting()) == waiting


def test_vanished_fields_are_an_event_of_their_own(cloud: Cloud, database: FreshDatabase) -> None:
    """An object that also lost many records has one event, which names the fields."""
    settle(database, 1, "loaded", records=100)
    settle(database, 2, "loaded_with_rejects", records=100, rejected=1)
    settle(database, 3, "loaded_with_rejects", records=100, rejected=50)
    with psycopg.connect(database.admin) as connection:
        connection.execute("UPDATE ingest.objects SET vanished = ARRAY['revenue']")
    outbox = cloud.outbox()
    assert announce(database.loader, outbox, LONG_AGO, NOW, SHARE) == Announced(3, Counter(), NOW - OVERLAP)
    events = list(outbox.waiting())
    assert [event["type"] for event in events] == [
        *["pipeline.ingest.columns_vanished.v1"] * 2,
        "pipeline.ingest.rejected.v1",
    ]
    assert [event["data"]["vanished"] for event in events] == [["revenue"]] * 3


def test_the_share_is_the_callers(cloud: Cloud, database: FreshDatabase) -> None:
    settle(database, 1, "loaded_with_rejects", records=100, rejected=9)
    settle(database, 2, "loaded_with_rejects", records=100, rejected=10)
    assert announce(database.loader, cloud.outbox(), LONG_AGO, NOW, 0.1).events == 1
    assert announce(database.loader, cloud.outbox(), LONG_AGO, NOW, 0.09).events == 1


def test_late_commit_is_told_of(cloud: Cloud, database: FreshDatabase) -> None:
    settle(database, 20, "failed")
    outbox = cloud.outbox()
    since = announce(database.loader, outbox, LONG_AGO, NOW, SHARE).since
    settle(database, 16, "failed")
    announce(database.loader, outbox, since, NOW, SHARE)
    assert len(list(outbox.waiting())) == 2


def test_many_are_told_of_in_several_looks(cloud: Cloud, database: FreshDatabase) -> None:
    for object_id in range(1, 6):
        settle(database, object_id, "failed")
    since, new = LONG_AGO, []
    for _ in range(5):
        told = announce(database.loader, cloud.outbox(), since, NOW, SHARE, most=2)
        since = told.since
        new.append(told.events)
    assert new == [2, 1, 1, 1, 0]
    assert since == NOW - OVERLAP


def test_a_refused_event_holds_up_no_other(cloud: Cloud, delivery: Delivery) -> None:
    """SNS takes no message of more than 256 KB; whatever it will not take stays, behind the others."""
    outbox = cloud.outbox()
    for n, size in enumerate((300_000, 1, 1)):
        outbox.put(cloud_event(str(n), "test", "x", f"2026-01-01T00:00:0{n}.000Z", {"text": "x" * size}))
    assert delivery.send_waiting() == 2
    assert [event["id"] for event in outbox.waiting()] == ["0"]
    outbox.put(cloud_event("3", "test", "x", timestamp(now() + dt.timedelta(hours=1)), {}))
    assert [event["id"] for event in outbox.waiting()] == ["0", "3"]
    assert delivery.send_waiting() == 1


def test_sent_events_are_not_told_again(cloud: Cloud, database: FreshDatabase, delivery: Delivery) -> None:
    settle(database, 1, "failed")
    outbox = cloud.outbox()
    announce(database.loader, outbox, LONG_AGO, NOW, SHARE)
    assert delivery.send_waiting() == 1
    announce(database.loader, outbox, LONG_AGO, NOW, SHARE)
    assert list(outbox.waiting()) == []


def test_listener(cloud: Cloud, database: FreshDatabase, delivery: Delivery) -> None:
    shown: list[Event] = []
    came = threading.Event()

    def show(event: Any) -> None:
        shown.append(event)
        came.set()

    with subscribed(cloud.sns, cloud.settings.events_topic_arn, show):
        settle(database, 1, "failed")
        announce(database.loader, cloud.outbox(), LONG_AGO, NOW, SHARE)
        [event] = cloud.outbox().waiting()
        delivery.send_waiting()
        assert came.wait(60)
    assert shown == [event]
    assert cloud.sns.list_subscriptions_by_topic(TopicArn=cloud.settings.events_topic_arn)["Subscriptions"] == []


# ---- what is read from the ledger


WAITING = """INSERT INTO ingest.objects (object_id, bucket, key, version, versioned, size, discovered_by, state, replayed,
    discovered_at, claimed_by, claim_expires_at)
    SELECT %s, 'b', 'x', %s, true, 1, 'event', %s, %s, now() - make_interval(mins => %s), worker, ends
    FROM (VALUES ('claimed', 'worker', now()), ('', NULL, NULL)) AS v (state, worker, ends)
    WHERE v.state = CASE WHEN %s = 'claimed' THEN 'claimed' ELSE '' END"""


def wait(database: FreshDatabase, object_id: int, state: str, minutes: int, *, replayed: bool = False) -> None:
    given = (object_id, str(object_id), state, replayed, minutes, state)
    with psycopg.connect(database.admin) as connection:
        connection.execute(WAITING, given)


def test_the_backlog_counts_all_that_wait_and_the_age_of_what_is_new(database: FreshDatabase) -> None:
    assert backlog(database.loader) == (0, 0)
    wait(database, 1, "discovered", 60, replayed=True)
    assert backlog(database.loader) == (1, 0), "an operator put it back: it is not late"
    for object_id, state in enumerate(("loaded", "failed", "unroutable", "superseded"), 10):
        wait(database, object_id, state, 600)
    wait(database, 2, "claimed", 20)
    wait(database, 3, "discovered", 10)
    waiting, oldest = backlog(database.loader)
    assert waiting == 3
    assert 20 * 60 <= oldest < 40 * 60


def write(database: FreshDatabase, object_id: int, state: str, minute: int, **values: Any) -> None:
    """An object that was settled in that minute."""
    given = {"records": 0, "rejected": 0, "error_code": None, **values}
    at = LONG_AGO + dt.timedelta(minutes=minute)
    key = f"crm-data/{object_id}.json"
    row = (object_id, key, str(object_id), state, given["records"], given["rejected"], given["error_code"], at)
    with psycopg.connect(database.admin) as connection:
        connection.execute(OBJECT, row)


def told(cloud: Cloud) -> list[tuple[str, str]]:
    """What waits in the outbox: which kind of event of which object."""
    return [(event["type"].split(".")[2], event["data"]["object_id"]) for event in cloud.outbox().waiting()]


def test_what_was_loaded_before_and_is_refused_now_has_failed(cloud: Cloud, database: FreshDatabase) -> None:
    """Its rows stay, and so does its state. The reason tells that the replay was refused."""
    write(database, 1, "loaded", 1, records=10, error_code="not_json")
    write(database, 2, "loaded_with_rejects", 2, records=100, rejected=1, error_code="not_json")
    write(database, 3, "loaded", 3, records=10)
    write(database, 4, "superseded", 4, error_code="gone")
    write(database, 5, "discovered", 5, records=10, rejected=10)  # a replay has not come to it yet
    write(database, 6, "superseded", 6, records=10, rejected=10)
    assert announce(database.loader, cloud.outbox(), LONG_AGO, NOW, SHARE).events == 2
    assert told(cloud) == [("failed", "1"), ("failed", "2")]


def test_the_share_is_that_of_all_records(cloud: Cloud, database: FreshDatabase) -> None:
    write(database, 1, "loaded_with_rejects", 1, records=100, rejected=5)
    write(database, 2, "loaded_with_rejects", 2, records=101, rejected=5)
    assert announce(database.loader, cloud.outbox(), LONG_AGO, NOW, 0.05).events == 1
    assert told(cloud) == [("rejected", "1")]


def test_a_look_begins_with_the_moment_where_the_last_one_ended(cloud: Cloud, database: FreshDatabase) -> None:
    """Objects that are settled in one transaction have one time. The page that is full of them goes on inside of it."""
    write(database, 1, "failed", 0)  # before: not of this look
    for object_id in (4, 2, 3):
        write(database, object_id, "failed", 1)
    write(database, 5, "failed", 2)
    since = LONG_AGO + dt.timedelta(minutes=1)
    first = announce(database.loader, cloud.outbox(), since, NOW, SHARE, most=2)
    assert [object_id for _, object_id in told(cloud)] == ["2", "3"]
    assert first.since == since
    second = announce(database.loader, cloud.outbox(), since, NOW, SHARE, most=4)
    assert (first.events, second.events) == (2, 2)
    assert sorted(object_id for _, object_id in told(cloud)) == ["2", "3", "4", "5"]
    assert second.since == LONG_AGO + dt.timedelta(minutes=2), "a full page goes on where it ended"
    assert announce(database.loader, cloud.outbox(), since, NOW, SHARE, most=5).since == NOW - OVERLAP


def test_time_to_look_from_never_goes_back(cloud: Cloud, database: FreshDatabase) -> None:
    since = NOW - dt.timedelta(minutes=1)
    assert announce(database.loader, cloud.outbox(), since, NOW, SHARE).since == since
    assert dt.timedelta(minutes=15) == OVERLAP, "no transaction of a load takes longer"


def test_an_event_of_an_object_has_its_figures_and_none_of_its_content(cloud: Cloud, database: FreshDatabase) -> None:
    write(database, 7, "failed", 7, error_code="not_json", records=3, rejected=2)
    announce(database.loader, cloud.outbox(), LONG_AGO, NOW, SHARE)
    [event] = cloud.outbox().waiting()
    assert event == {
        "specversion": "1.0",
        "id": "object-7-2026-01-01T00:07:00.000Z",
        "source": "/pipeline",
        "type": "pipeline.ingest.failed.v1",
        "subject": "crm-data/7.json",
        "time": "2026-01-01T00:07:00.000Z",
        "datacontenttype": "application/json",
        "data": {
            "object_id": "7",  # as text: JavaScript reads larger numbers wrongly
            "key": "crm-data/7.json",
            "state": "failed",
            "records": 3,
            "rejected": 2,
            "error_code": "not_json",
        },
    }


# ---- what is sent


def published(cloud: Cloud, event: Event) -> dict[str, Any]:
    """The event as a queue gets it that has subscribed to the topic."""
    queue = cloud.sqs.create_queue(QueueName="listener")["QueueUrl"]
    asked = cloud.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    topic = cloud.settings.events_topic_arn
    cloud.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=asked["Attributes"]["QueueArn"])
    Notifier(cloud.sns, topic).publish(event)
    [message] = cloud.sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
    return json.loads(message["Body"])


def test_subscribers_can_filter_by_type_and_by_what_the_event_is_about(cloud: Cloud) -> None:
    data = {"operation": "x" * 300, "state": "FAILED", "owner": "key:1", "source": "", "rows": 5, "key": "k"}
    event = cloud_event("1", "job.ended", "jobs/1", timestamp(now()), data)
    message = published(cloud, event)
    assert json.loads(message["Message"]) == event
    attributes = {name: (each["Type"], each["Value"]) for name, each in message["MessageAttributes"].items()}
    # SNS takes no empty attribute and at most 256 characters; what is only data is no attribute.
    assert attributes == {
        "type": ("String", "pipeline.job.ended.v1"),
        "operation": ("String", "x" * 256),
        "state": ("String", "FAILED"),
        "owner": ("String", "key:1"),
    }


class Busy(Notifier):
    """Publishes all events before one; from there on SNS cannot be reached."""

    def __init__(self, cloud: Cloud, first_lost: str) -> None:
        super().__init__(cloud.sns, cloud.settings.events_topic_arn)
        self.first_lost: str | None = first_lost
        self.tried: list[str] = []

    def publish(self, event: Event) -> None:
        self.tried.append(event["id"])
        if event["id"] == self.first_lost:
            raise EndpointConnectionError(endpoint_url="https://sns")
        super().publish(event)


def test_while_sns_is_away_events_wait_in_their_order(cloud: Cloud) -> None:
    outbox = cloud.outbox()
    for number in range(3):
        outbox.put(cloud_event(str(number), "test", "x", f"2026-01-01T00:00:0{number}.000Z", {}))
    busy = Busy(cloud, "1")
    assert Delivery(outbox, busy).send_waiting() == 1
    assert busy.tried == ["0", "1"], "the next one would fail alike"
    assert [event["id"] for event in outbox.waiting()] == ["1", "2"]
    busy.first_lost = None
    assert Delivery(outbox, busy).send_waiting() == 2
    assert busy.tried == ["0", "1", "1", "2"]


def test_the_sender_learns_whether_its_event_was_taken(cloud: Cloud, delivery: Delivery) -> None:
    event = cloud_event("1", "test", "x", timestamp(now()), {})
    cloud.outbox().put(event)
    assert Delivery(cloud.outbox(), Busy(cloud, "1")).send(event) is False
    assert [each["id"] for each in cloud.outbox().waiting()] == ["1"]
    assert delivery.send(event) is True
    assert list(cloud.outbox().waiting()) == []


def test_a_topic_that_is_gone_does_not_end_the_delivery(cloud: Cloud) -> None:
    settings = msgspec.structs.replace(cloud.settings, events_topic_arn=cloud.settings.events_topic_arn + "-gone")
    event = cloud_event("1", "test", "x", timestamp(now()), {})
    cloud.outbox().put(event)
    assert Delivery(cloud.outbox(), Notifier(cloud.sns, settings.events_topic_arn)).send_waiting() == 0
    assert [each["id"] for each in cloud.outbox().waiting()] == ["1"]
