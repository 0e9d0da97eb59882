"""Write new objects from the queue and from listings to the ledger. ledger/batches.py assigns them to batches.

SQS ──receive──► ledger (commit) ──► delete        a message is deleted only after the ledger has its objects
listing ───────► ledger                            finds objects without an event; continues where it stopped
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pipeline_project.database import Connection, Database
from pipeline_project.ingest import ledger
from pipeline_project.ingest.discovery.listing import from_event, list_pages
from pipeline_project.ingest.ledger import Batch, LiveRuns, ObjectSeen, assign
from pipeline_project.settings import Settings

MESSAGES = 10
"""Maximum number of messages that SQS returns or deletes in one call."""
LONGEST_WAIT = 20
"""Maximum duration of a long poll of SQS, in seconds."""
BACKLOG_WAIT = 1
"""Duration of a long poll, in seconds, while objects wait for a run to end."""
GATHER_PAUSE = 0.05
LONGEST_GATHERING = 2.0
"""Maximum time, in seconds, to collect events for a batch. After it, the batch starts, even if more events arrive."""

log = logging.getLogger("pipeline.ingest")


class Received(NamedTuple):
    """The objects that messages report, and the receipts to delete the messages."""

    seen: list[ObjectSeen]
    ignored: dict[str, str]
    receipts: list[str]


@dataclass(frozen=True)
class ListingCursor:
    """The progress of the listing. `began` is the start of the latest pass, and `resume` is None between two passes."""

    began: datetime | None = None
    resume: dict[str, str] | None = None

    @classmethod
    def parse(cls, text: str | None) -> "ListingCursor":
        """Read what `str` returned. For any other text, start from the beginning: an additional pass does no harm."""
        try:
            known = json.loads(text or "")
            return cls(datetime.fromisoformat(known["began"]), known["resume"])
        except (ValueError, KeyError, TypeError):
            return cls()

    def __str__(self) -> str:
        return json.dumps({"began": self.began.isoformat() if self.began else None, "resume": self.resume})

    def is_due(self, now: datetime, every: timedelta) -> bool:
        """Return whether to list a page: always during a pass, otherwise if the latest pass began `every` ago."""
        return self.resume is not None or self.began is None or now - self.began >= every


class SensorRotation:
    """Lets one of several sensors poll at a time.

    The sensor that polls returns its batches and ends its tick. The next sensor returns batches at least `every` seconds
    later. Therefore one sensor is always polling, and under load an object waits at most about `every` seconds.
    """

    def __init__(self, every: float) -> None:
        self.every = every
        self.next = 0.0
        """Earliest time for the next batches, on the clock of the sensors."""
        self.lock = threading.Lock()
        """The sensor that polls holds it."""


class Landing:
    """The landing queue and bucket of one deployment. `sqs` and `s3` are boto3 clients, `database` is the loader's."""

    def __init__(
        self,
        database: Database,
        sqs: Any,
        s3: Any,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._database = database
        self._sqs = sqs
        self._s3 = s3
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self.ignored = 0
        """Number of objects that messages reported and that are not loaded, since this instance was created."""

    def watch(
        self,
        living: Callable[[], LiveRuns],
        turns: SensorRotation,
        *,
        seconds: float,
        linger: float,
        runs_per_source: int,
    ) -> list[Batch]:
        """Poll the queue for up to `seconds`, but at least once. Return when objects can be assigned to a run.

        After the first event, polling continues for `linger` seconds, so that files uploaded together form one batch, and
        until the rotation allows batches. `living` is called only if objects wait. A source has at most `runs_per_source`
        unfinished runs. Objects that arrive meanwhile wait, and the next run loads all of them.
        """
        deadline = self._clock() + seconds
        if not turns.lock.acquire(timeout=seconds):
            return []
        try:
            with self._database.connect() as connection:
                return self._listen(connection, living, turns, deadline, linger, runs_per_source)
        finally:
            turns.lock.release()

    def _listen(
        self,
        connection: Connection,
        living: Callable[[], LiveRuns],
        turns: SensorRotation,
        deadline: float,
        linger: float,
        runs_per_source: int,
    ) -> list[Batch]:
        has_listened = False
        while True:
            its_turn = self._clock() >= turns.next
            batches, backlog = assign(connection, self._settings, living, runs_per_source) if its_turn else ([], True)
            if batches:
                turns.next = self._clock() + turns.every
                return batches
            left = deadline - self._clock()
            if left < 1 and has_listened:  # SQS waits for whole seconds
                return []
            has_listened = True
            if not its_turn:
                self._gather(connection, min(turns.next, deadline), deadline)
            elif self._take(connection, self._receive(min(left, BACKLOG_WAIT) if backlog else left)):
                begin = self._clock()
                self._gather(connection, begin + linger, begin + LONGEST_GATHERING)

    def _gather(self, connection: Connection, until: float, at_latest: float) -> None:
        """Receive further messages until a time. Continue until `at_latest` only if they arrive without a pause."""
        while self._clock() < at_latest:
            if not self._take(connection, self._receive(0)):
                if self._clock() >= until:
                    return
                self._sleep(GATHER_PAUSE)

    def _take(self, connection: Connection, received: Received) -> bool:
        """Write the objects of messages to the ledger, commit, then delete the messages. Return False without messages."""
        if received.receipts:
            ledger.discover(connection, received.seen)
            connection.commit()
            self._delete(received.receipts)
            for key, reason in received.ignored.items():
                log.info("%r is ignored: %s", key, reason)
            self.ignored += len(received.ignored)
        return bool(received.receipts)

    def _receive(self, seconds: float) -> Received:
        answer = self._sqs.receive_message(
            QueueUrl=self._settings.landing_queue_url,
            MaxNumberOfMessages=MESSAGES,
            WaitTimeSeconds=min(max(0, int(seconds)), LONGEST_WAIT),
        )
        messages = answer.get("Messages", [])
        told = [from_event(message["Body"]) for message in messages]
        return Received(
            [each for message in told for each in message.seen],
            {key: reason for message in told for key, reason in message.ignored.items()},
            [message["ReceiptHandle"] for message in messages],
        )

    def _delete(self, receipts: list[str]) -> None:
        """Delete messages. A message that is not deleted arrives again and changes nothing."""
        entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(receipts)]
        self._sqs.delete_message_batch(QueueUrl=self._settings.landing_queue_url, Entries=entries)

    def list_some(self, cursor: ListingCursor, now: datetime, *, every: timedelta, seconds: float) -> ListingCursor:
        """Compare pages of the bucket with the ledger for up to `seconds`, but at least one page, if a pass is due.

        A pass begins `every` so often. Returns the cursor from which to continue.
        """
        if not cursor.is_due(now, every):
            return cursor
        began = cursor.began if cursor.resume is not None else now
        deadline = self._clock() + seconds
        with self._database.connect() as connection:
            for page in list_pages(self._s3, self._settings.landing_bucket, cursor.resume):
                ledger.discover(connection, page.seen)
                connection.commit()
                if self._clock() >= deadline:
                    return ListingCursor(began, page.resume)
        return ListingCursor(began)


class Listed(NamedTuple):
    """Counts of a listing: objects that are new to the ledger, and objects that are not loaded."""

    new: int
    ignored: int


def list_all(connection: Connection, s3: Any, bucket: str) -> Listed:
    """Compare the whole bucket with the ledger. Commits after each page."""
    new = ignored = 0
    for page in list_pages(s3, bucket):
        new += len(ledger.discover(connection, page.seen))
        connection.commit()
        ignored += page.ignored
    return Listed(new, ignored)
