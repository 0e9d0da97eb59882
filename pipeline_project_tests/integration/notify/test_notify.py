"""Events on their way out: from the ledger to the outbox, from the outbox to SNS, from SNS to a listener."""

import datetime as dt
import threading
from collections import Counter
from typing import Any

import psycopg
import pytest

from pipeline_project.jobs.model import now, timestamp
from pipeline_project.jobs.outbox import Event, cloud_event
from pipeline_project.notify.delivery import Delivery
from pipeline_project.notify.events import Notifier
from pipeline_project.notify.ingest import OVERLAP, Announced, announce
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
        assert came.wait(5)
    assert shown == [event]
    assert cloud.sns.list_subscriptions_by_topic(TopicArn=cloud.settings.events_topic_arn)["Subscriptions"] == []
