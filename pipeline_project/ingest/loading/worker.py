"""Takes waiting objects from claim to end: fetches them, batches small objects, and decides which objects are tried again.

A fault of one object does not stop the others. If the worker dies, its claims end with its session. The objects that it had
open are then loaded in processes of their own (suspects.py).
"""

import logging
import uuid
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from io import BytesIO
from itertools import groupby
from typing import Any

import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from pipeline_project import aws, logs
from pipeline_project.database import Connection, Database, is_transient
from pipeline_project.errors import Transient
from pipeline_project.ingest import ledger
from pipeline_project.ingest.decoding import ByteStream, Envelope, ObjectFault, chunks
from pipeline_project.ingest.ledger import Claimed, ObjectState, Outcome
from pipeline_project.ingest.loading.acceptance import JudgedInPart
from pipeline_project.ingest.loading.loader import Loader
from pipeline_project.ingest.loading.microbatches import Opened
from pipeline_project.ingest.loading.object_keys import folder_hint, of_data, with_key_fields
from pipeline_project.ingest.loading.required_columns import RequiredColumns
from pipeline_project.ingest.loading.snapshots import LARGEST_MANIFEST, place_of, read_manifest
from pipeline_project.ingest.loading.suspects import LoadApart, Suspects
from pipeline_project.ingest.loading.time_limit import TimeLimits
from pipeline_project.ingest.mapping import ObjectPosition, mapper_for
from pipeline_project.settings import Settings
from pipeline_project.sources.registry import sources

SMALL = 1024 * 1024
"""Greatest size in bytes of objects that are fetched whole and loaded together."""
TOGETHER_BYTES = 16 * 1024 * 1024
"""Most bytes of small objects in one transaction, as they are stored in S3."""
TOGETHER_OBJECTS = 500
"""Greatest number of small objects in one transaction."""
FETCHES = 8
"""Number of small objects that are fetched at the same time."""
GONE = {"NoSuchKey", "NoSuchVersion", "404"}
OVERWRITTEN = {"PreconditionFailed", "412"}
STORAGE_ERRORS = (BotoCoreError, ClientError, OSError)

log = logging.getLogger("pipeline.ingest")


def load_apart(conninfo: str, settings: Settings, run_id: str | None, worker: str, object_id: int) -> list[Outcome]:
    """Load one object in this process, which loads no other object (suspects.py)."""
    logs.configure_process()
    database = Database(lambda: conninfo)
    own = Worker(database, aws.client(settings, "s3"), settings, run_id=run_id, name=worker, apart=None)
    return list(own.ingest([object_id]))


class Worker:
    """A worker that loads objects of the ledger. Only one thread may use it."""

    def __init__(
        self,
        database: Database,
        s3: Any,
        settings: Settings,
        *,
        run_id: str | None = None,
        name: str | None = None,
        apart: LoadApart | None = load_apart,
    ) -> None:
        """`database` is the loader's, `s3` a boto3 client.

        `apart` loads a suspect in a process of its own. None: this is such a process.
        """
        self._database = database
        self._s3 = s3
        self._settings = settings
        self._limits = TimeLimits.from_settings(settings)
        self._run_id = run_id
        self._name = name or f"{run_id or 'worker'}/{uuid.uuid4().hex[:12]}"
        self._apart = apart

    def ingest(self, object_ids: Sequence[int]) -> Generator[Outcome, None, None]:
        """Claim and load the objects that still wait. Yield each outcome as soon as it is known.

        Objects that met a transient error have no outcome and wait again. Raises Transient if the connection to PostgreSQL is
        lost. The caller may also close the iterator early. In both cases, the other objects wait for the next worker.
        """
        try:
            with self._database.connect(autocommit=True) as connection:
                # The lock lasts as long as this session. It shows other workers that the claims are held.
                connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (self._name,))
                try:
                    yield from self._ingest(connection, object_ids)
                finally:
                    if not connection.broken:
                        ledger.release(connection, worker=self._name)
        except psycopg.OperationalError as error:
            raise Transient(
                "The connection to PostgreSQL was lost. Objects that are not loaded yet wait for the next worker."
            ) from error

    def _ingest(self, connection: Connection, object_ids: Sequence[int]) -> Iterator[Outcome]:
        claimed = ledger.claim(
            connection,
            object_ids,
            worker=self._name,
            run_id=self._run_id,
            seconds=self._settings.ingest_claim_seconds,
        )
        loader = Loader(connection, self._name, self._limits)
        with self._suspects() as suspects, ThreadPoolExecutor(FETCHES, "fetch") as fetchers:
            if suspects is not None:
                claimed = self._hand_over(connection, suspects, claimed)
            for batch in _batches(claimed):
                for outcome in self._load(connection, loader, fetchers, batch):
                    yield self._logged(outcome)
            if suspects is not None:
                yield from map(self._logged, suspects.outcomes())

    def _suspects(self) -> AbstractContextManager[Suspects | None]:
        if self._apart is None:
            return nullcontext()
        return Suspects(self._database, self._settings, self._apart, worker=self._name, run_id=self._run_id)

    def _hand_over(self, connection: Connection, suspects: Suspects, claimed: list[Claimed]) -> list[Claimed]:
        """Release suspects, so that processes of their own claim and load them. Return the other objects."""
        own: list[Claimed] = []
        apart: list[Claimed] = []
        for each in claimed:
            has_attempts = each.attempts < self._settings.ingest_max_attempts
            (apart if each.suspect and has_attempts else own).append(each)
        if apart:
            ledger.release(connection, worker=self._name, object_ids=[each.object_id for each in apart])
            suspects.start(apart)
        return own

    def _logged(self, outcome: Outcome) -> Outcome:
        log.info(
            "%s: %s, %d records (%d inserted, %d updated, %d unchanged, %d stale, %d rejected)%s",
            outcome.key,
            outcome.state,
            *(outcome.records, outcome.inserted, outcome.updated),
            *(outcome.unchanged, outcome.stale, outcome.rejected),
            f": {outcome.fault.message}" if outcome.fault else "",
            extra={"object_id": outcome.object_id, "run_id": self._run_id},
        )
        return outcome

    def _load(
        self, connection: Connection, loader: Loader, fetchers: ThreadPoolExecutor, batch: list[Claimed]
    ) -> Iterator[Outcome]:
        done: set[int] = set()
        if len(batch) > 1:
            try:
                self._open_in_ledger(connection, batch)
                opened = [each for each in fetchers.map(self._fetch, batch) if each is not None]
                for outcome in loader.load_many(sources()[batch[0].source], batch[0].dataset, opened):
                    done.add(outcome.object_id)
                    yield outcome
            except Exception as error:
                if connection.broken:
                    raise
                # Loading each object by itself shows which object is at fault.
                log.warning("%d objects are loaded one by one (%s)", len(batch), type(error).__name__)
        left = [claimed for claimed in batch if claimed.object_id not in done]
        for claimed in left:
            if outcome := self._load_alone(connection, loader, claimed, left):
                yield outcome

    def _open_in_ledger(self, connection: Connection, opened: list[Claimed], closed: Sequence[Claimed] = ()) -> None:
        """Commit to the ledger which objects this worker opens. If the worker dies, they are suspects."""
        ledger.open_objects(
            connection,
            [each.object_id for each in opened],
            closed=[each.object_id for each in closed],
            worker=self._name,
            # A suspect is read twice.
            seconds=2 * self._limits.of(sum(each.size for each in opened)),
        )

    def _load_alone(
        self, connection: Connection, loader: Loader, claimed: Claimed, batch: Sequence[Claimed]
    ) -> Outcome | None:
        """Load one object. `batch` are the objects that may have been opened together with it and are closed now."""
        try:
            if claimed.attempts >= self._settings.ingest_max_attempts:
                raise ObjectFault(
                    "gave_up",
                    f"The worker died in each of {claimed.attempts} attempts to load this file. Look for the reason in "
                    "the logs of its runs, then replay the file.",
                )
            self._open_in_ledger(connection, [claimed], batch)
            source = sources()[claimed.source]
            # A file that is refused is not read to its end. Its connection is closed here, not by the garbage collector.
            with ExitStack() as bodies:
                if claimed.suspect:
                    loader.rehearse(source, claimed.dataset, self._open(claimed, bodies))
                try:
                    return loader.load_one(source, claimed.dataset, self._open(claimed, bodies))
                except JudgedInPart:
                    return loader.load_one(source, claimed.dataset, self._open(claimed, bodies), probe=False)
        except ObjectFault as fault:
            return self._settle(connection, claimed, fault)
        except psycopg.Error as error:
            # The object does not cause a full disk, and the disk may stay full for longer than its attempts last.
            if connection.broken or isinstance(error, psycopg.errors.DiskFull):
                raise
            if is_transient(error) or isinstance(error, psycopg.errors.QueryCanceled):
                return self._retry_later(connection, claimed, "database_busy", error)
            # Validation missed the value. The text of the error is not logged, because it may quote data.
            log.error("%s: SQLSTATE %s", claimed.key, error.sqlstate)
            message = (
                f"PostgreSQL refused a value of it (SQLSTATE {error.sqlstate}): report this as a bug, with the object"
            )
            return self._settle(connection, claimed, ObjectFault("refused_by_database", message))
        except STORAGE_ERRORS as error:
            return self._retry_later(connection, claimed, "storage", error)
        except MemoryError:
            message = (
                "The file needs more memory at once than the machine has. Split it into smaller files and upload them."
            )
            return self._settle(connection, claimed, ObjectFault("out_of_memory", message))
        except Exception as error:
            # A bug. If it were raised, it would also stop the other objects, in this run and in each later run.
            log.exception("%s", claimed.key)
            message = f"the platform failed on it ({type(error).__name__}): report this as a bug, with the object"
            return self._settle(connection, claimed, ObjectFault("internal_error", message))

    def _settle(self, connection: Connection, claimed: Claimed, fault: ObjectFault) -> Outcome:
        """Record that the object failed. None of its rows were written."""
        outcome = Outcome(claimed.object_id, claimed.key)
        outcome.refuse(fault)
        if fault.code == "overwritten":
            outcome.state = ObjectState.SUPERSEDED
        ledger.settle(connection, [outcome], worker=self._name)
        return outcome

    def _retry_later(self, connection: Connection, claimed: Claimed, code: str, error: Exception) -> None:
        states = ledger.retry_later(
            connection,
            [claimed.object_id],
            worker=self._name,
            max_attempts=self._settings.ingest_max_attempts,
            code=code,
            message=f"attempt {claimed.attempts + 1} of {self._settings.ingest_max_attempts}: {type(error).__name__}",
        )
        log.warning("%s: %s, now %s", claimed.key, type(error).__name__, states.get(claimed.object_id), exc_info=error)

    # --- S3

    def _fetch(self, claimed: Claimed) -> Opened | None:
        """Read a small object into memory. None if that fails: loading the object alone shows the reason."""
        try:
            return self._open(claimed)
        except Exception:
            return None

    def _open(self, claimed: Claimed, bodies: ExitStack | None = None) -> Opened:
        """Open an object. `bodies` closes its stream later. None: the content is read into memory."""
        which = {"VersionId": claimed.version} if claimed.versioned else {"IfMatch": f'"{claimed.version}"'}
        try:
            answer = self._s3.get_object(Bucket=claimed.bucket, Key=claimed.key, **which)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code in GONE:
                raise ObjectFault("gone", "the object was deleted before it was loaded: upload it again") from None
            if code in OVERWRITTEN:
                raise ObjectFault("overwritten", "the key was overwritten before this content was loaded") from None
            raise
        body: ByteStream = BytesIO(answer["Body"].read()) if bodies is None else answer["Body"]
        if bodies is not None:
            bodies.callback(answer["Body"].close)
        position = ObjectPosition(claimed.object_id, answer["LastModified"].replace(microsecond=0))
        return open_object(claimed, position, body)


def open_object(claimed: Claimed, position: ObjectPosition, body: ByteStream) -> Opened:
    """Return an object whose content is `body`, ready to be loaded."""
    envelope = Envelope()
    source = sources()[claimed.source]
    place = place_of(source, claimed.dataset, claimed.key)
    if place is not None and place.role != "part":  # it has no records
        listed = read_manifest(body.read(LARGEST_MANIFEST)) if place.role == "manifest" else None
        return Opened(claimed, position, iter(()), envelope, listed=listed)
    names = mapper_for(source, claimed.dataset).field_names()
    dialect = source.dialect_of(claimed.dataset, claimed.key)
    required = RequiredColumns(dialect.require or ())
    records = chunks(body, envelope, names, dialect)
    if dialect.key_fields:
        records = with_key_fields(records, claimed.key, dialect.key_fields)
    if hint := folder_hint(claimed.key):
        envelope.notes.add("folder_hint", sample=hint)
    return Opened(claimed, position, of_data(records, claimed.key, hint), envelope, required)


def _batches(claimed: list[Claimed]) -> Iterator[list[Claimed]]:
    """Group small objects by source and dataset. Large objects, suspects and repeated objects are batches of their own."""

    def kind(each: Claimed) -> tuple[str, str, bool]:
        return (each.source, each.dataset, each.size <= SMALL and each.attempts == 0 and not each.suspect)

    for (_, _, together), group in groupby(sorted(claimed, key=kind), key=kind):
        batch: list[Claimed] = []
        size = 0
        for each in group:
            if batch and (not together or size + each.size > TOGETHER_BYTES or len(batch) == TOGETHER_OBJECTS):
                yield batch
                batch, size = [], 0
            batch.append(each)
            size += each.size
        yield batch
