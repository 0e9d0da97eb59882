"""The snapshots that exports have sent (`ingest.snapshots`): which objects belong to one, and what became of it.

sources/snapshot.py declares them. ingest/loading/snapshots.py closes them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from psycopg.rows import class_row

from pipeline_project.database import Connection
from pipeline_project.ingest.ledger.object_states import ObjectState
from pipeline_project.schema.sql_files import query
from pipeline_project.sources.snapshot import Place, SnapshotError
from pipeline_project.sources.source import Source


class SnapshotState(StrEnum):
    """The state of a snapshot."""

    OPEN = "open"
    """A part is missing. Nothing is deleted."""
    HELD = "held"
    """All parts are loaded. Nothing is deleted before a person decides."""
    CLOSED = "closed"
    """What is absent from it is deleted."""
    DISCARDED = "discarded"
    """A person decided that nothing follows from it."""


@dataclass(frozen=True, kw_only=True)
class SnapshotLine:
    """A snapshot, for people."""

    snapshot_id: int
    source: str
    dataset: str
    scope: str
    name: str
    state: SnapshotState
    as_of: datetime | None
    """When the exporter read. None: not known yet."""
    parts: int
    members: int
    deletes: int
    """Records that it deletes, or would delete if it is held."""
    restores: int
    """Records that it brings back."""
    reason: str | None
    approved_at: datetime | None
    opened_at: datetime
    settled_at: datetime | None


class SnapshotObject(NamedTuple):
    """An object of a snapshot, in the ledger."""

    key: str
    state: ObjectState
    last_modified: datetime | None


def snapshot_id(source: str, dataset: str, place: Place, key: str, version: str) -> int:
    """Return the ID of a snapshot. It is below zero, so that it never is the ID of an object."""
    identity = (source, dataset, place.scope, place.name or f"{key}\0{version}")
    digest = hashlib.sha256("\0".join(identity).encode("utf-8", "surrogatepass")).digest()
    return -1 - (int.from_bytes(digest[:8]) >> 1)


def snapshot_id_of(source: Source, dataset: str, key: str, version: str) -> int | None:
    """Return the ID of the snapshot that an object belongs to. None for an ordinary file, or if the key has an error."""
    declared = source.snapshot_of(dataset)
    try:
        place = declared.place(key) if declared else None
    except SnapshotError:
        return None
    return snapshot_id(source.name, dataset, place, key, version) if place else None


def snapshot_objects(connection: Connection, snapshot: int) -> list[SnapshotObject]:
    """Return the objects of a snapshot, those of one key in the order of their discovery."""
    rows = connection.execute(query("ingest/snapshots/snapshot_objects"), {"snapshot_id": snapshot})
    return [SnapshotObject(key, ObjectState(state), modified) for key, state, modified in rows]


def list_snapshots(
    connection: Connection,
    *,
    source: str | None = None,
    name: str | None = None,
    snapshot: int | None = None,
    states: Sequence[SnapshotState] | None = None,
    limit: int = 100,
) -> list[SnapshotLine]:
    """Return snapshots, the latest first."""
    parameters: dict[str, Any] = {
        "source": source,
        "name": name,
        "snapshot_id": snapshot,
        "states": None if states is None else [str(state) for state in states],
        "limit": limit,
    }
    with connection.cursor(row_factory=class_row(SnapshotLine)) as cursor:
        return cursor.execute(query("ingest/snapshots/list_snapshots"), parameters).fetchall()
