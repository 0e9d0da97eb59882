"""The object ledger (`ingest.objects`): what was seen, who works on it, how it ended.

The states of an object and their transitions are in states.py. The step to an end state is taken by load.py, in the
transaction that writes the data. A worker notes what it opens before it opens it: after its death these objects are
suspects, and are loaded in processes of their own (suspects.py).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from psycopg.rows import class_row

from pipeline_project.database import Connection
from pipeline_project.ingest.decoding import ObjectFault
from pipeline_project.ingest.ledger.object_states import Merged, ObjectState
from pipeline_project.schema.sql_files import query
from pipeline_project.sources.registry import route
from pipeline_project.sources.source import Source

COUNTS = ("records", "inserted", "updated", "unchanged", "stale", "rejected", "deleted")
"""Of an object: columns of the ledger and fields of an Outcome, as they are shown to people."""

DiscoveredBy = Literal["event", "listing", "replay"]


@dataclass(frozen=True, kw_only=True)
class ObjectSeen:
    """An object as an event or a listing tells of it. `version_id` is None where the bucket keeps no versions."""

    bucket: str
    key: str
    version_id: str | None
    etag: str
    size: int
    discovered_by: DiscoveredBy
    sequencer: str | None = None
    modified: datetime | None = field(default=None, compare=False)
    """As a listing tells it. Of a multipart upload it is the time at which it began."""

    @property
    def versioned(self) -> bool:
        """Whether the version id tells this content from others. What was there before versioning began has id `null`."""
        return self.version_id not in (None, "null")

    @property
    def version(self) -> str:
        """What tells this content of the key from others."""
        return str(self.version_id) if self.versioned else self.etag

    @property
    def object_id(self) -> int:
        """The same for the same object, whoever finds it: 63 bits, so that it fits a bigint."""
        identity = "\0".join((self.bucket, self.key, self.version))
        return int.from_bytes(hashlib.sha256(identity.encode("utf-8", "surrogatepass")).digest()[:8]) >> 1


class Waiting(NamedTuple):
    """An object that waits to be loaded."""

    object_id: int
    source: str
    dataset: str
    key: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """An object that a worker holds."""

    object_id: int
    bucket: str
    key: str
    version: str
    versioned: bool
    size: int
    source: str
    dataset: str
    attempts: int
    replayed: bool
    """It was tried before: its rows or rejects may be there."""
    loaded_before: bool
    """It is loaded, and stays so if it is refused now."""
    suspect: bool = False
    """A worker died while it had this object open."""


@dataclass
class Outcome:
    """How an object ended.

    records = inserted + updated + unchanged + stale + rejected, unless it was refused.
    """

    object_id: int
    key: str
    state: ObjectState = ObjectState.CLAIMED
    format: str | None = None
    last_modified: datetime | None = None
    records: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0
    rejected: int = 0
    deleted: int = 0
    """How many of the inserted and updated ones are tombstones."""
    fault: ObjectFault | None = None
    first_keys: list[str] = field(default_factory=list, compare=False)
    """Keys of a few rows that were loaded, for people to look at."""

    def count(self, result: str, rows: int, deleted: int) -> None:
        """Add what a merge statement reports about this object's rows. Raises ValueError for an unknown word."""
        match Merged(result):
            case Merged.NEW:
                self.inserted += rows
                self.deleted += deleted
            case Merged.CHANGED:
                self.updated += rows
                self.deleted += deleted
            case Merged.UNCHANGED | Merged.SAME:
                self.unchanged += rows
            case Merged.STALE | Merged.LATE:  # late: placed in the version history, and perhaps counted again
                self.stale += rows

    def refuse(self, fault: ObjectFault) -> None:
        """Nothing of the object is loaded."""
        self.state, self.fault = ObjectState.FAILED, fault
        self.first_keys.clear()
        self.inserted = self.updated = self.unchanged = self.stale = self.deleted = 0


def discover(connection: Connection, seen: Iterable[ObjectSeen]) -> list[int]:
    """Write objects to the ledger; the ids of those that are new. Others stay as they are. The caller commits."""
    objects = {each.object_id: each for each in seen}
    if not objects:
        return []
    routes = [route(each.key) for each in objects.values()]
    rows = connection.execute(
        query("ingest/ledger/discover"),
        {
            "object_ids": list(objects),
            "buckets": [each.bucket for each in objects.values()],
            "keys": [each.key for each in objects.values()],
            "versions": [each.version for each in objects.values()],
            "versioned": [each.versioned for each in objects.values()],
            "sizes": [each.size for each in objects.values()],
            "sequencers": [each.sequencer for each in objects.values()],
            "discovered_by": [each.discovered_by for each in objects.values()],
            "sources": [way[0].name if way else None for way in routes],
            "datasets": [way[1] if way else None for way in routes],
        },
    )
    return [object_id for (object_id,) in rows]


def states(connection: Connection, seen: Iterable[ObjectSeen]) -> dict[int, ObjectState]:
    """The state of each that is known, by its id."""
    parameters = {"object_ids": [each.object_id for each in seen]}
    rows = connection.execute(query("ingest/ledger/object_states"), parameters)
    return {object_id: ObjectState(state) for object_id, state in rows}


def waiting(connection: Connection, limit: int) -> list[Waiting]:
    """Up to `limit` objects that may be claimed, oldest first."""
    return [Waiting(*row) for row in connection.execute(query("ingest/ledger/waiting"), {"limit": limit})]


def claim(
    connection: Connection, object_ids: Sequence[int], *, worker: str, run_id: str | None, seconds: int
) -> list[Claimed]:
    """Those of the objects that could be taken; they are the worker's once the caller commits."""
    with connection.cursor(row_factory=class_row(Claimed)) as cursor:
        parameters = {"object_ids": list(object_ids), "worker": worker, "run_id": run_id, "seconds": seconds}
        return cursor.execute(query("ingest/ledger/claim"), parameters).fetchall()


def open_objects(
    connection: Connection,
    opened: Sequence[int],
    *,
    worker: str,
    seconds: float,
    closed: Sequence[int] = (),
) -> None:
    """Note that the worker opens these objects now, which may take so many seconds. Each opening is an attempt.

    `closed`: objects that it had opened and opens no longer. Their attempt does not count.
    """
    parameters = {"opened": list(opened), "closed": list(closed), "worker": worker, "seconds": seconds}
    connection.execute(query("ingest/ledger/open_objects"), parameters)


def lock_dataset(connection: Connection, source: str, dataset: str) -> None:
    """Wait until nobody else writes rows of this source and dataset; until the end of the transaction nobody else does."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"ingest {source} {dataset}",))


def settle(connection: Connection, outcomes: Iterable[Outcome], *, worker: str) -> None:
    """Write how a worker's objects ended. To be called in the transaction that wrote their data.

    One that was loaded before and refused now is as it was, with the reason beside it.
    """
    entries = []
    for outcome in outcomes:
        fault = outcome.fault
        entry = {
            "worker": worker,
            "error_code": fault.code if fault else None,
            "error_message": fault.message if fault else None,
            "error_line": fault.line if fault else None,
            "error_column": fault.column if fault else None,
        }
        entries.append({**vars(outcome), **entry})
    with connection.cursor() as cursor:
        if refused := [entry for entry in entries if entry["error_code"] is not None]:
            cursor.executemany(
                query("ingest/rejects/settle_refused_replay"), refused
            )  # these are not claimed any more, then
        cursor.executemany(query("ingest/ledger/settle"), entries)


def retry_later(
    connection: Connection, object_ids: Sequence[int], *, worker: str, max_attempts: int, code: str, message: str
) -> dict[int, ObjectState]:
    """Release objects after a transient fault, or after the death of their worker. Returns the new state of each:
    `discovered`; after so many attempts `failed`, or loaded as before."""
    parameters: dict[str, Any] = {"object_ids": list(object_ids), "worker": worker, "max_attempts": max_attempts}
    rows = connection.execute(
        query("ingest/ledger/retry_later"), {**parameters, "error_code": code, "error_message": message}
    )
    return {object_id: ObjectState(state) for object_id, state in rows}


def release(connection: Connection, *, worker: str, object_ids: Sequence[int] | None = None) -> None:
    """Release objects that the worker holds and has not finished, or all of them. This does not count as an attempt."""
    parameters = {"worker": worker, "object_ids": None if object_ids is None else list(object_ids)}
    connection.execute(query("ingest/ledger/release"), parameters)


def replay(connection: Connection, object_ids: Sequence[int]) -> None:
    """Put objects back in line, loaded, failed or superseded ones."""
    connection.execute(query("ingest/ledger/replay"), {"object_ids": list(object_ids)})


def reroute(connection: Connection, routes: Mapping[int, tuple[Source, str]]) -> None:
    """Put unroutable objects in line, by ID with the source and dataset that are registered for them now."""
    ways = routes.values()
    parameters = {
        "object_ids": list(routes),
        "sources": [source.name for source, _ in ways],
        "datasets": [dataset for _, dataset in ways],
    }
    if routes:
        connection.execute(query("ingest/ledger/reroute"), parameters)


def claimable(connection: Connection, object_ids: Sequence[int]) -> list[int]:
    """Those of the objects that wait to be loaded, oldest first."""
    rows = connection.execute(query("ingest/ledger/claimable"), {"object_ids": list(object_ids)})
    return [object_id for (object_id,) in rows]
