"""A landing bucket in memory and what it takes to load from it: for tests of semantics, where S3 itself is not the question.

`Landing.put` gives an object its own second, so that the times of objects are as different as a test wants them.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from typing import Any

import msgspec
import psycopg
from botocore.exceptions import ClientError

from pipeline_project.database import Connection, Database
from pipeline_project.ingest import ledger
from pipeline_project.ingest.ledger.objects import ObjectSeen, Outcome
from pipeline_project.ingest.loading.worker import Worker
from pipeline_project.settings import Settings

BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)
BUCKET = "landing"
SETTINGS = Settings(
    landing_bucket=BUCKET,
    results_bucket="results",
    landing_queue_url="queue",
    table_name="table",
    events_topic_arn="topic",
)


class Landing:
    """A versioned bucket that the ledger and the worker can be pointed at. Also the S3 client for the worker."""

    def __init__(self) -> None:
        self._contents: dict[tuple[str, str], tuple[bytes, datetime]] = {}
        self.gets = 0

    def put(self, key: str, content: bytes | Any, *, second: int | None = None) -> ObjectSeen:
        """Store bytes, or anything as JSON; `second` after the beginning (default: one after another)."""
        data = content if isinstance(content, bytes) else msgspec.json.encode(content)
        at = BEGINNING + timedelta(seconds=len(self._contents) if second is None else second)
        version = hashlib.sha256(f"{key} {at} ".encode() + data).hexdigest()[:16]
        self._contents[key, version] = (data, at)
        return ObjectSeen(
            bucket=BUCKET,
            key=key,
            version_id=version,
            etag="",
            size=len(data),
            discovered_by="event",
            sequencer=version,
        )

    def get_object(self, *, Bucket: str, Key: str, VersionId: str) -> dict[str, Any]:
        """As boto3's."""
        self.gets += 1
        assert Bucket == BUCKET
        try:
            data, at = self._contents[Key, VersionId]
        except KeyError:
            raise ClientError({"Error": {"Code": "NoSuchVersion"}}, "GetObject") from None
        return {"Body": BytesIO(data), "LastModified": at}


class Crashing(Database):
    """A database that ends the session before or after its n-th statement (from 0), as if the server had been shut down.

    `admin` is a superuser's connection. Commits stand between statements and are no statements of their own.
    """

    def __init__(self, database: Database, admin: Connection, statement: int, *, after: bool) -> None:
        super().__init__(database.conninfo)
        self._admin = admin
        self.statements_left = statement
        self._after = after

    def open(self, *, autocommit: bool = False) -> Connection:
        """As Database's."""
        crashing = self

        class Cursor(psycopg.Cursor[Any]):
            def execute(self, *arguments: Any, **options: Any) -> Any:
                with crashing._statement(self.connection):
                    return super().execute(*arguments, **options)

            def executemany(self, *arguments: Any, **options: Any) -> None:
                with crashing._statement(self.connection):
                    super().executemany(*arguments, **options)

            @contextmanager
            def copy(self, *arguments: Any, **options: Any) -> Iterator[psycopg.Copy]:
                with crashing._statement(self.connection), super().copy(*arguments, **options) as copy:
                    yield copy

        return psycopg.connect(self.conninfo(), autocommit=autocommit, cursor_factory=Cursor)

    @contextmanager
    def _statement(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        now = self.statements_left == 0
        self.statements_left -= 1
        pid = connection.info.backend_pid
        if now and not self._after:
            self._end(pid)
        yield
        if now and self._after:
            self._end(pid)

    def _end(self, pid: int) -> None:
        self._admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def discover(database: Database, seen: Sequence[ObjectSeen]) -> list[int]:
    """Write to the ledger; the ids of all that wait."""
    with database.connect() as connection:
        ledger.discover(connection, seen)
        return [each.object_id for each in ledger.waiting(connection, 100_000)]


def ingest(database: Database, landing: Landing, *seen: ObjectSeen, apart: bool = False) -> dict[str, Outcome]:
    """Load whatever waits, with these objects added; outcomes by key.

    `apart`: suspects are loaded in processes of their own. Otherwise in this one, where a test may have changed things.
    """
    waiting = discover(database, seen)
    worker = Worker(database, landing, SETTINGS, apart=partial(load_apart, landing) if apart else None)
    return {outcome.key: outcome for outcome in worker.ingest(waiting)}


def load_apart(
    landing: Landing, conninfo: str, settings: Settings, run_id: str | None, worker: str, object_id: int
) -> list[Outcome]:
    """Load a suspect from a landing bucket in memory, as worker.load_apart does from S3."""
    own = Worker(Database(lambda: conninfo), landing, settings, run_id=run_id, name=worker, apart=None)
    return list(own.ingest([object_id]))
