"""Events that still have to be sent. They are written together with what they tell of, so none is lost; and they are
marked as sent only after SNS has taken them, so one may be sent twice, under the same id.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from pipeline_project.jobs.model import Job, moment, now, timestamp
from pipeline_project.jobs.table import BY_STATE, EXPIRY, SEEN_TO_AT_ONCE, Change, Item, Raw, decode, encode

WAITING = "EVENT"
"""Stands where an open job has its state in the index `by_state`."""
KEPT = dt.timedelta(days=7)
"""Sent events stay for a while, to be looked at."""

Event = dict[str, Any]


def job_ended(job: Job) -> Event:
    """The CloudEvent (1.0, structured) of a job's end. It carries neither rows nor SQL nor parameters."""
    data = {
        "job_id": job.id,
        "owner": job.owner,
        "operation": job.operation,
        "labels": job.labels or None,
        "state": job.state,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        "error": msgspec.to_builtins(job.error),
        "rows": job.result.rows if job.result else None,
        "bytes": job.result.bytes if job.result else None,
    }
    return cloud_event(f"job-{job.id}", "job.ended", f"jobs/{job.id}", job.finished_at or job.updated_at, data)


def cloud_event(event_id: str, kind: str, subject: str, time: str, data: dict[str, Any]) -> Event:
    """A CloudEvent; the same id is the same event, however often it is made. `kind` is for instance `job.ended`."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/pipeline",
        "type": f"pipeline.{kind}.v1",
        "subject": subject,
        "time": time,
        "datacontenttype": "application/json",
        "data": {name: value for name, value in data.items() if value is not None},
    }


class Outbox:
    """The events in the table. `dynamodb` is a boto3 client."""

    def __init__(self, dynamodb: Any, table: str, clock: Callable[[], dt.datetime] = now) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._clock = clock

    def put(self, event: Event) -> bool:
        """Keep an event to be sent; False if it is known already, sent or not."""
        try:
            self._dynamodb.put_item(
                TableName=self._table, Item=item(event), ConditionExpression="attribute_not_exists(pk)"
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def waiting(self) -> Iterator[Event]:
        """Events that were not marked as sent, oldest first. The index lags by moments."""
        page = self._dynamodb.query(
            TableName=self._table,
            IndexName=BY_STATE,
            KeyConditionExpression="gsi2pk = :state",
            ExpressionAttributeValues={":state": {"S": WAITING}},
            Limit=SEEN_TO_AT_ONCE,
        )
        for found in page["Items"]:
            yield msgspec.json.decode(decode(found)["event"])

    def sent(self, event: Event) -> None:
        """Take it from the index; the item itself goes by its expiry."""
        expiry = int((self._clock() + KEPT).timestamp())
        change = Change().set(gsi2pk=None, gsi2sk=None, sent_at=timestamp(self._clock()), **{EXPIRY: expiry})
        self._change(event, change.where("event", "<>", ""))

    def put_off(self, event: Event) -> None:
        """Behind those that wait now."""
        self._change(event, Change().set(gsi2sk=timestamp(self._clock())).where("gsi2pk", "=", WAITING))

    def _change(self, event: Event, change: Change) -> None:
        try:
            self._dynamodb.update_item(TableName=self._table, Key=_key(event), **change.arguments())
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return


def item(event: Event) -> Item:
    """The item of an event, for a transaction with what it tells of."""
    moment(event["time"])  # a time in another form would sort wrongly in the index
    index = {"gsi2pk": WAITING, "gsi2sk": event["time"]}
    return {**_key(event), **encode({**index, "event": Raw(event)})}


def _key(event: Event) -> Item:
    return encode({"pk": f"event#{event['id']}", "sk": "event"})
