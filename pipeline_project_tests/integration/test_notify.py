"""Events on their way out: from the ledger to the outbox, from the outbox to SNS, from SNS to a listener."""

import datetime as dt
import threading
from typing import Any

import psycopg
import pytest

from pipeline_project.jobs.outbox import Event
from pipeline_project.notify.delivery import Delivery
from pipeline_project.notify.events import Notifier
from pipeline_project.notify.ingest import announce, troubled
from pipeline_project.notify.subscriber import subscribed
from pipeline_project_tests.fix_api import Cloud
from pipeline_project_tests.fix_postgres import FreshDatabase

LONG_AGO = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
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
    cursor = announce(database.loader, outbox, LONG_AGO)
    assert cursor == LONG_AGO + dt.timedelta(minutes=5)
    waiting = list(outbox.waiting())
    assert [event["type"].split(".")[2] for event in waiting] == ["failed", "rejected", "failed"]
    assert waiting[0]["subject"] == "crm-data/1.json"
    assert waiting[1]["data"]["rejected"] == 50
    assert "a value of the row" not in str(waiting)
    assert announce(database.loader, outbox, cursor) == cursor
    assert list(outbox.waiting()) == waiting


def test_late_commit_is_told_of(cloud: Cloud, database: FreshDatabase) -> None:
    settle(database, 9, "failed")
    outbox = cloud.outbox()
    cursor = announce(database.loader, outbox, LONG_AGO)
    settle(database, 8, "failed")
    announce(database.loader, outbox, cursor)
    assert len(list(outbox.waiting())) == 2


def test_pages(database: FreshDatabase) -> None:
    for object_id in range(1, 6):
        settle(database, object_id, "failed")
    found = troubled(database.loader, LONG_AGO, 0.5, page=2)
    assert [row["object_id"] for row in found] == [1, 2, 3, 4, 5]


def test_sent_events_are_not_told_again(cloud: Cloud, database: FreshDatabase, delivery: Delivery) -> None:
    settle(database, 1, "failed")
    outbox = cloud.outbox()
    announce(database.loader, outbox, LONG_AGO)
    assert delivery.send_waiting() == 1
    announce(database.loader, outbox, LONG_AGO)
    assert list(outbox.waiting()) == []


def test_listener(cloud: Cloud, database: FreshDatabase, delivery: Delivery) -> None:
    shown: list[Event] = []
    came = threading.Event()

    def show(event: Any) -> None:
        shown.append(event)
        came.set()

    with subscribed(cloud.sns, cloud.settings.events_topic_arn, show):
        settle(database, 1, "failed")
        announce(database.loader, cloud.outbox(), LONG_AGO)
        [event] = cloud.outbox().waiting()
        delivery.send_waiting()
        assert came.wait(5)
    assert shown == [event]
    assert cloud.sns.list_subscriptions_by_topic(TopicArn=cloud.settings.events_topic_arn)["Subscriptions"] == []
