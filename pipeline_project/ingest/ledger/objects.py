"""The object ledger (`ingest.objects`): which objects were seen, which worker holds them, how they ended.

object_states.py has the states and their transitions. The loader sets the final state in the transaction that writes the
data. A worker records which objects it opens before it reads them. If the worker dies, these objects are suspects, and
each is loaded in a process of its own (loading/suspects.py).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from psycopg.rows import class_row

from pipeline_project.database import Connection
from pipeline_project.ingest.decoding import ObjectFault
from pipeline_project.ingest.ledger.column_sets import ColumnSet, add_column_sets, note_vanished
from pipeline_project.ingest.ledger.object_states import Merged, ObjectState
from pipeline_project.ingest.ledger.snapshots import snapshot_id_of
from pipeline_project.schema.sql_files import query
from pipeline_project.sources.registry import route
from pipeline_project.sources.source import Source

COUNTS = ("records", "inserted", "updated", "unchanged", "stale", "rejected", "deleted")
"""Counts of an object. The same names are columns of the ledger, fields of Outcome, and headings for people."""

DiscoveredBy = Literal["event", "listing", "replay"]


@dataclass(frozen=True, kw_only=True)
class ObjectSeen:
    """An object as an event or a listing reports it. `version_id` is None if the bucket keeps no versions."""

    bucket: str
    key: str
    version_id: str | None
    etag: str
    size: int
    discovered_by: DiscoveredBy
    sequencer: str | None = None
    modified: datetime | None = field(default=None, compare=False)
    """`LastModified`, from a listing only. For a multipart upload, it is the time when the upload began."""

    @property
    def versioned(self) -> bool:
        """Return whether the version ID identifies the content. Objects from before versioning have the ID `null`."""
        return self.version_id not in (None, "null")

    @property
    def version(self) -> str:
        """Return what identifies this content of the key: the version ID, or the ETag."""
        return str(self.version_id) if self.versioned else self.etag

    @property
    def object_id(self) -> int:
        """Return the ID: the same for event and listing. It has 63 bits, so that it fits into a bigint."""
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
    """True if the object was tried before, so that its rows or rejects can be in the tables."""
    loaded_before: bool
    """True if the object is loaded. It stays loaded if it fails now."""
    suspect: bool = False
    """True if a worker died while it had this object open."""


@dataclass
class Outcome:
    """The outcome of an object.

    Unless the object failed, records = inserted + updated + unchanged + stale + rejected.
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
    fields_unread: int = 0
    """Number of values of loaded records that could not be read."""
    deleted: int = 0
    """Number of tombstones among the inserted and updated records."""
    fault: ObjectFault | None = None
    columns: ColumnSet | None = None
    """The columns that it has. None if it could not be read so far."""
    reading: dict[str, Any] | None = None
    """How it was read, for the column report."""
    first_keys: list[str] = field(default_factory=list, compare=False)
    """Keys of a few loaded rows, as examples for people."""

    def count(self, result: str, rows: int, deleted: int) -> None:
        """Add the counts that a merge reports for this object. Raises ValueError for an unknown outcome."""
        match Merged(result):
            case Merged.NEW:
                self.inserted += rows
                self.deleted += deleted
            case Merged.CHANGED:
                self.updated += rows
                self.deleted += deleted
            case Merged.UNCHANGED | Merged.SAME:
                self.unchanged += rows
            case Merged.STALE | Merged.LATE:  # a late row can become a version: then it is counted again
                self.stale += rows

    def refuse(self, fault: ObjectFault) -> None:
        """Set the state to failed, with the error. No row of the object is loaded."""
        self.state, self.fault = ObjectState.FAILED, fault
        self.first_keys.clear()
        self.inserted = self.updated = self.unchanged = self.stale = self.deleted = self.fields_unread = 0


def discover(connection: Connection, seen: Iterable[ObjectSeen]) -> list[int]:
    """Add objects to the ledger and return the IDs of the new ones. Existing rows stay as they are. The caller commits."""
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
            "snapshot_ids": [
                snapshot_id_of(*way, each.key, each.version) if way else None
                for way, each in zip(routes, objects.values(), strict=True)
            ],
        },
    )
    return [object_id for (object_id,) in rows]


def states(connection: Connection, seen: Iterable[ObjectSeen]) -> dict[int, ObjectState]:
    """Return the states of the objects that the ledger has, by ID."""
    parameters = {"object_ids": [each.object_id for each in seen]}
    rows = connection.execute(query("ingest/ledger/object_states"), parameters)
    return {object_id: ObjectState(state) for object_id, state in rows}


def waiting(connection: Connection, limit: int) -> list[Waiting]:
    """Return up to `limit` objects that can be claimed, oldest first."""
    return [Waiting(*row) for row in connection.execute(query("ingest/ledger/waiting"), {"limit": limit})]


def claim(
    connection: Connection, object_ids: Sequence[int], *, worker: str, run_id: str | None, seconds: int
) -> list[Claimed]:
    """Claim objects and return those that could be claimed. The claims are valid after the caller commits."""
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
    """Record that the worker opens objects now, for at most `seconds`. Each opening is an attempt.

    `closed`: objects that the worker had opened and does not read now. That attempt does not count.
    """
    parameters = {"opened": list(opened), "closed": list(closed), "worker": worker, "seconds": seconds}
    connection.execute(query("ingest/ledger/open_objects"), parameters)


def lock_dataset(connection: Connection, source: str, dataset: str) -> None:
    """Get the exclusive lock on a source and dataset. The lock is released at the end of the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"ingest {source} {dataset}",))


def settle(connection: Connection, outcomes: Sequence[Outcome], *, worker: str) -> None:
    """Write the outcomes of a worker's objects. Call it in the transaction that writes their data.

    An object that was loaded before and fails now stays loaded. The ledger shows the error in addition.
    """
    entries = []
    for outcome in outcomes:
        fault = outcome.fault
        columns, reading = outcome.columns, outcome.reading
        entry = {
            "column_set_id": columns.column_set_id if columns else None,
            "reading": json.dumps(reading) if reading else None,
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
    add_column_sets(connection, [outcome.columns for outcome in outcomes if outcome.columns])
    if compared := [outcome.object_id for outcome in outcomes if outcome.columns and outcome.fault is None]:
        note_vanished(connection, compared)


def retry_later(
    connection: Connection, object_ids: Sequence[int], *, worker: str, max_attempts: int, code: str, message: str
) -> dict[int, ObjectState]:
    """Release objects after a transient error, or after the death of their worker. Return the new states.

    The state is `discovered`. After `max_attempts` attempts, it is `failed`, or as before if the object was loaded.
    """
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
    """Requeue objects that are loaded, failed or superseded."""
    connection.execute(query("ingest/ledger/replay"), {"object_ids": list(object_ids)})


def reroute(connection: Connection, routes: Mapping[int, tuple[Source, str]]) -> None:
    """Queue unroutable objects. `routes`: object ID -> the source and dataset that are now registered for the object."""
    ways = routes.values()
    parameters = {
        "object_ids": list(routes),
        "sources": [source.name for source, _ in ways],
        "datasets": [dataset for _, dataset in ways],
    }
    if routes:
        connection.execute(query("ingest/ledger/reroute"), parameters)


def claimable(connection: Connection, object_ids: Sequence[int]) -> list[int]:
    """Return the objects that wait to be loaded, oldest first."""
    rows = connection.execute(query("ingest/ledger/claimable"), {"object_ids": list(object_ids)})
    return [object_id for (object_id,) in rows]
