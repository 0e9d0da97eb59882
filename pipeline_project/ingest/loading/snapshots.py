"""Closes snapshots: exports that contain everything, so that a record that is missing in one was deleted.

The parts of a snapshot are loaded like all other files. Each adds what it contains to the members of the snapshot, one bit
for each entity. When all parts are there, the snapshot is closed: it puts a mark on each entity at the time when the
exporter read, "present" or "absent". The history of an entity follows from its rows and its marks, walked by position
(place_late_versioned.sql). Only marks that change something become versions. Therefore a late file, a late snapshot and a
replay end in the same history as any other order.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from pipeline_project.database import Connection
from pipeline_project.datasets.registry import datasets
from pipeline_project.errors import Permanent
from pipeline_project.ingest import ledger
from pipeline_project.ingest.decoding import ObjectFault
from pipeline_project.ingest.ledger import ObjectState, SnapshotLine, SnapshotObject, SnapshotState
from pipeline_project.ingest.loading.microbatches import Opened
from pipeline_project.schema.dataset import Dataset
from pipeline_project.schema.sql_files import query
from pipeline_project.schema.templates import statement
from pipeline_project.sources.registry import sources
from pipeline_project.sources.snapshot import OBJECT, Place, Snapshot, SnapshotError
from pipeline_project.sources.source import Source

BAD_SNAPSHOT = "bad_snapshot"
LATEST_BEYOND_UPLOAD = timedelta(days=1)
"""How far the time of a snapshot may be after the upload: a local time without a zone counts as UTC."""
WALKED_TOGETHER = 131_072
"""Number of surrogate keys that are walked in one step, which bounds the temporary tables."""
LOADED = (ObjectState.LOADED, ObjectState.LOADED_WITH_REJECTS)
LARGEST_MANIFEST = 4 * 1024 * 1024
"""Most bytes of a manifest."""


def place_of(source: Source, dataset: str, key: str) -> Place | None:
    """Return the place of an object in its snapshot. Raises ObjectFault if the key does not tell it."""
    declared = source.snapshot_of(dataset)
    try:
        return declared.place(key) if declared else None
    except SnapshotError as error:
        raise ObjectFault(BAD_SNAPSHOT, f"The snapshot of this file cannot be read: {error}") from None


def read_time(source: Source, opened: Opened) -> None:
    """Note when the exporter read, if a decoded object belongs to a snapshot and tells the time. Raises ObjectFault."""
    declared = source.snapshot_of(opened.claimed.dataset)
    place = place_of(source, opened.claimed.dataset, opened.claimed.key)
    if declared is None or place is None:
        return
    as_of = _time_in_name(declared, place) or _time_in_file(declared, place, opened)
    if as_of is not None and as_of > opened.position.modified_at + LATEST_BEYOND_UPLOAD:
        raise ObjectFault(
            BAD_SNAPSHOT,
            f"The snapshot has the time {as_of:%Y-%m-%d %H:%M} UTC, more than a day after its upload. Correct the clock of "
            f"the exporter, or `as_of` ({declared.as_of!r}) of the source.",
        )
    opened.as_of = as_of


def _time_in_name(declared: Snapshot, place: Place) -> datetime | None:
    try:
        return None if place.name is None else declared.time_in_name(place.name)
    except SnapshotError as error:
        raise ObjectFault(BAD_SNAPSHOT, f"The snapshot of this file cannot be read: {error}") from None


def _time_in_file(declared: Snapshot, place: Place, opened: Opened) -> datetime | None:
    if declared.time_path is None or place.role != "part":
        return None
    value: Any = opened.envelope.fields
    for name in declared.time_path:
        value = value.get(name) if isinstance(value, dict) else None
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        found = "no value" if value is None else f"{str(value)[:50]!r}"
        raise ObjectFault(
            BAD_SNAPSHOT,
            f"The file has {found} for {declared.as_of}, from which the time of the snapshot is read. Send a time as "
            "2024-12-31T22:00:00Z, or declare another `as_of`.",
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def read_manifest(content: bytes) -> list[str]:
    """Return the files that a manifest lists: JSON with texts or with url, key, path or name, or one file in each line."""
    text = content.decode("utf-8-sig", "replace")
    try:
        found = _named(json.loads(text))
    except (ValueError, RecursionError):
        found = [line.strip().strip('"') for line in text.splitlines()]
    listed = [each for each in found if each]
    if not listed:
        raise ObjectFault(BAD_SNAPSHOT, "The manifest lists no file. List the keys of all parts, one in each line.")
    return listed


def _named(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        lists = [each for each in value.values() if isinstance(each, list)]
        names = [value[name] for name in ("url", "key", "path", "name") if isinstance(value.get(name), str)]
        return names[:1] if names else [name for each in lists for name in _named(each)]
    return [name for each in value for name in _named(each)] if isinstance(value, list) else []


@dataclass
class Marks:
    """The marks of the snapshots of one source and dataset, in a transaction that holds the lock of both."""

    connection: Connection
    source: Source
    dataset: Dataset
    exist: bool
    """True if the source and dataset have snapshots."""
    until: datetime | None
    """The time of the last closed snapshot. None: there are no marks."""

    @classmethod
    def of(cls, connection: Connection, source: Source, dataset: str) -> "Marks":
        """Look up whether there are marks."""
        which = {"source": source.name, "dataset": dataset}
        ((exist, until),) = connection.execute(query("ingest/snapshots/last_mark"), which).fetchall()
        return cls(connection, source, datasets()[dataset], exist, until)

    def walk_late(self) -> None:
        """Prepare that the late-arriving rows are walked against the marks. Call it before place_late."""
        if self.until is not None:
            self._execute("walk_late")
            self._collect()

    def add(self, opened: Sequence[Opened]) -> bool:
        """Add loaded objects to their snapshots, and judge these snapshots again. Return whether a row changed.

        Call it after the ledger entries are written, so that the objects count as loaded or failed.
        """
        loaded = {
            each: found for each in opened if each.outcome.fault is None and (found := self._open(each)) is not None
        }
        if loaded:
            self._execute("record_members", object_ids=[each.claimed.object_id for each in loaded])
        if replayed := [each.claimed.object_id for each in loaded if each.claimed.replayed]:
            self._execute("withdraw_members", object_ids=replayed)
        refused = {
            ledger.snapshot_id_of(self.source, each.claimed.dataset, each.claimed.key, each.claimed.version)
            for each in opened
            if each.outcome.fault is not None
        }
        changed = False
        for snapshot in sorted({*loaded.values(), *refused} - {None}):
            changed |= self.judge(snapshot)
        return changed

    def _open(self, opened: Opened) -> int | None:
        """Assign an object to its snapshot, and return the ID. None: it is an ordinary file."""
        claimed = opened.claimed
        place = place_of(self.source, claimed.dataset, claimed.key)
        if place is None:
            return None
        snapshot = ledger.snapshot_id(self.source.name, claimed.dataset, place, claimed.key, claimed.version)
        self.connection.execute(
            query("ingest/snapshots/open_snapshot"),
            {
                "snapshot_id": snapshot,
                "source": self.source.name,
                "dataset": self.dataset.name,
                "scope": place.scope,
                "name": place.name or f"{claimed.key}@{claimed.version}",
                "as_of": opened.as_of,
                "listed": opened.listed,
                "object_id": claimed.object_id,
            },
        )
        return snapshot

    def judge(self, snapshot: int) -> bool:
        """Close a snapshot if it is complete and may delete what is absent. Otherwise its marks do not count.

        Return whether a row changed.
        """
        which = {"snapshot_id": snapshot}
        row = self.connection.execute(query("ingest/snapshots/lock_snapshot"), which).fetchone()
        declared = self.source.snapshot_of(self.dataset.name)
        if row is None or declared is None:
            return False
        state, scope, as_of, approved, listed, forgotten = row
        if state == SnapshotState.DISCARDED:
            return False
        if forgotten:
            self._prepare()
            self._execute("walk_recovered", snapshot_id=snapshot)
            return self._rewrite(snapshot).changed
        objects = ledger.snapshot_objects(self.connection, snapshot)
        closed_before = state == SnapshotState.CLOSED
        if declared.as_of == OBJECT:
            as_of = _upload_time(declared, objects)
        about = {**which, "source": self.source.name, "dataset": self.dataset.name, "as_of": as_of}
        ((members, marks_behind),) = self.connection.execute(query("ingest/snapshots/count_members"), about).fetchall()
        parts = sum(each.state in LOADED and _role(declared, each.key) == "part" for each in objects)
        settled = {**which, "as_of": as_of, "parts": parts, "members": members, "deletes": 0, "restores": 0}
        walk = partial(self._walk, snapshot, scope, as_of, closed_before=closed_before, marks_behind=marks_behind)

        def wait(state: SnapshotState, reason: str, deletes: int = 0) -> bool:
            self._settle(state, reason, {**settled, "deletes": deletes})
            return closed_before and walk().changed

        missing = _missing(declared, objects, listed, closed_before=closed_before)
        if missing is not None or as_of is None:
            return wait(SnapshotState.OPEN, missing or "the time of the snapshot is not known")
        if not approved and (doubt := self._doubt(snapshot, members)) is not None:
            return wait(SnapshotState.HELD, doubt)
        walked = Walked()
        try:
            with self.connection.transaction():
                # It counts as closed before the entities are walked, so that its own marks take part.
                self._settle(SnapshotState.CLOSED, None, settled)
                walked = walk()
                if not approved and walked.deletes > declared.max_deletes * (members + walked.deletes):
                    raise _TooManyDeletes
        except _TooManyDeletes:
            total = members + walked.deletes
            reason = (
                f"it would delete {walked.deletes:,} of {total:,} ({walked.deletes / total:.1%}), and at most "
                f"{declared.max_deletes:.1%} are allowed without a decision"
            )
            return wait(SnapshotState.HELD, reason, walked.deletes)
        self._settle(SnapshotState.CLOSED, None, {**settled, "deletes": walked.deletes, "restores": walked.restores})
        return walked.changed

    def discard(self, snapshot: SnapshotLine) -> bool:
        """Take back what a snapshot says. Return whether a row changed."""
        which = {"snapshot_id": snapshot.snapshot_id}
        counts = {"as_of": snapshot.as_of, "parts": snapshot.parts, "members": 0, "deletes": 0, "restores": 0}
        was_closed = snapshot.state == SnapshotState.CLOSED
        self._settle(SnapshotState.DISCARDED, None, {**which, **counts})
        walked = Walked()
        if was_closed:
            walked = self._walk(
                snapshot.snapshot_id, snapshot.scope, snapshot.as_of, closed_before=True, marks_behind=True
            )
        self.connection.execute(query("ingest/snapshots/drop_members"), which)
        return walked.changed

    def _doubt(self, snapshot: int, members: int) -> str | None:
        """Return why a person has to decide about a complete snapshot, or None."""
        which = {"snapshot_id": snapshot}
        ((nameless,),) = self.connection.execute(query("ingest/snapshots/nameless_rejects"), which).fetchall()
        if nameless:
            return f"{nameless:,} rejected records have no ID that can be read, so what is absent is not known"
        return "it has no records" if members == 0 else None

    def _walk(
        self, snapshot: int, scope: str, as_of: datetime | None, *, closed_before: bool, marks_behind: bool
    ) -> "Walked":
        """Recompute the history of each entity that a snapshot changes."""
        self._prepare()
        about = {
            "snapshot_id": snapshot,
            "source": self.source.name,
            "scope": scope,
            "as_of": as_of,
            "closed_before": closed_before,
            "marks_behind": marks_behind,
        }
        ((first, last),) = self._execute("id_range").fetchall()
        walked = Walked()
        for begin in range(first, last + 1, WALKED_TOGETHER):
            if self._execute("walk_snapshot", **about, first=begin, beyond=begin + WALKED_TOGETHER).rowcount:
                more = self._rewrite(snapshot)
                walked = Walked(
                    walked.changed or more.changed, walked.deletes + more.deletes, walked.restores + more.restores
                )
        return walked

    def _prepare(self) -> None:
        for name in ("staging", "staging_timeline"):
            self.connection.execute(statement(f"ingest/loading/{name}", self.dataset))
        for name in ("empty_late", "empty_walk"):
            self._execute(name)

    def _collect(self) -> None:
        self._execute("marks", source=self.source.name)

    def _rewrite(self, snapshot: int) -> "Walked":
        """Rewrite the history of the chosen entities."""
        self._collect()
        self._execute("empty_timeline")
        self._execute("place_late")
        self._execute("rewrite_confirmations", source=self.source.name)
        changed = any(count for _, count, _ in self._execute("rewrite").fetchall())
        ((deletes, restores),) = self._execute("count_marks", snapshot_id=snapshot).fetchall()
        self._execute("empty_walk")
        return Walked(changed, deletes, restores)

    def _settle(self, state: SnapshotState, reason: str | None, parameters: dict[str, Any]) -> None:
        self.connection.execute(
            query("ingest/snapshots/settle_snapshot"), {**parameters, "state": state, "reason": reason}
        )

    def _execute(self, name: str, **parameters: Any) -> Any:
        return self.connection.execute(statement(f"ingest/loading/{name}", self.dataset), parameters)


class Walked(NamedTuple):
    """The outcome of a walk: whether a row changed, and how many entities the snapshot deletes and brings back."""

    changed: bool = False
    deletes: int = 0
    restores: int = 0


class _TooManyDeletes(Exception):
    """Raised to roll back the deletions of a snapshot."""


def _role(declared: Snapshot, key: str) -> str | None:
    place = _place(declared, key)
    return place.role if place else None


def _place(declared: Snapshot, key: str) -> Place | None:
    try:
        return declared.place(key)
    except SnapshotError:
        return None


def _upload_time(declared: Snapshot, objects: Sequence[SnapshotObject]) -> datetime | None:
    """Return the upload time of the marker or, without a marker, of the last part."""
    loaded = [(_role(declared, each.key), each.last_modified) for each in objects if each.state in LOADED]
    markers = [at for role, at in loaded if at and role in ("marker", "manifest")]
    return max(markers or [at for _, at in loaded if at], default=None)


def _missing(
    declared: Snapshot, objects: Sequence[SnapshotObject], listed: Sequence[str] | None, *, closed_before: bool
) -> str | None:
    """Return what a snapshot still waits for, or None if it is complete.

    A closed snapshot does not wait for a further part: it is judged again when that part is loaded or fails.
    """
    loaded = {each.key for each in objects if each.state in LOADED}
    waiting = (ObjectState.DISCOVERED, ObjectState.CLAIMED)
    for each in objects:
        if each.key not in loaded and not (closed_before and each.state in waiting):
            return f"{each.key} is {each.state}"
    places = [place for key in loaded if (place := _place(declared, key))]
    if declared.complete == "manifest":
        if listed is None:
            return "the manifest is missing"
        return next((f"{name} is missing" for name in listed if not any(_names(name, key) for key in loaded)), None)
    if declared.complete.startswith("parts:"):
        expected, found = max((place.parts or 0 for place in places), default=0), len({place.part for place in places})
        return f"{found} of {expected} parts are loaded" if found < expected else None
    if declared.complete != "single" and not any(place.role == "marker" for place in places):
        return f"{declared.complete} is missing"
    return None


def _names(listed: str, key: str) -> bool:
    """Return whether an entry of a manifest, a URL or the end of a key, is about a key."""
    path = listed.split("://", 1)[-1].partition("/")[2] if "://" in listed else listed.lstrip("./")
    return key == path or key.endswith(f"/{path}")


def approve(connection: Connection, snapshot: SnapshotLine) -> SnapshotLine:
    """Allow a held snapshot to delete what is absent, and close it. `connection` is the loader's, in autocommit mode."""
    with connection.transaction():
        marks = _locked(connection, snapshot)
        _refuse_unless(marks, snapshot, SnapshotState.HELD, "Only a held snapshot can be approved.")
        connection.execute(query("ingest/snapshots/approve_snapshot"), {"snapshot_id": snapshot.snapshot_id})
        _raise_data_version(marks, changed=marks.judge(snapshot.snapshot_id))
    return ledger.list_snapshots(connection, snapshot=snapshot.snapshot_id)[0]


def discard(connection: Connection, snapshot: SnapshotLine) -> SnapshotLine:
    """Decide that nothing follows from a snapshot. If it is closed, its deletions are taken back."""
    with connection.transaction():
        marks = _locked(connection, snapshot)
        (now,) = ledger.list_snapshots(connection, snapshot=snapshot.snapshot_id)
        _raise_data_version(marks, changed=marks.discard(now))
    return ledger.list_snapshots(connection, snapshot=snapshot.snapshot_id)[0]


def close_unfinished(connection: Connection) -> int:
    """Close the open and held snapshots that may be closed by now, for example after rejects were settled.

    Return how many were closed. `connection` is the loader's, in autocommit mode.
    """
    closed = 0
    for snapshot, source, dataset in connection.execute(query("ingest/snapshots/unfinished_snapshots")).fetchall():
        if source not in sources() or dataset not in datasets():
            continue
        with connection.transaction():
            ledger.lock_dataset(connection, source, dataset)
            marks = Marks.of(connection, sources()[source], dataset)
            _raise_data_version(marks, changed=marks.judge(snapshot))
        closed += ledger.list_snapshots(connection, snapshot=snapshot)[0].state == SnapshotState.CLOSED
    return closed


def forget_snapshots(connection: Connection, before: datetime) -> int:
    """Forget which entities were members of old snapshots; return the number of these snapshots.

    Marks that changed something stay, and so do the members of the newest snapshot of each scope.
    """
    found = connection.execute(query("ingest/snapshots/forgettable_snapshots"), {"before": before}).fetchall()
    for snapshot, source, dataset, scope, as_of in found:
        if dataset not in datasets():
            continue
        with connection.transaction():
            ledger.lock_dataset(connection, source, dataset)
            parameters = {"snapshot_id": snapshot, "source": source, "scope": scope, "as_of": as_of}
            connection.execute(statement("ingest/loading/forget_members", datasets()[dataset]), parameters)
    return len(found)


def _locked(connection: Connection, snapshot: SnapshotLine) -> Marks:
    if snapshot.source not in sources():
        raise Permanent(f"The source {snapshot.source!r} of the snapshot is not registered. Register it first.")
    ledger.lock_dataset(connection, snapshot.source, snapshot.dataset)
    return Marks.of(connection, sources()[snapshot.source], snapshot.dataset)


def _refuse_unless(marks: Marks, snapshot: SnapshotLine, state: SnapshotState, rule: str) -> None:
    (now,) = ledger.list_snapshots(marks.connection, snapshot=snapshot.snapshot_id)
    if now.state != state:
        raise Permanent(f"The snapshot {now.name} is {now.state}. {rule}")


def _raise_data_version(marks: Marks, *, changed: bool) -> None:
    if changed:
        which = {"source": marks.source.name, "dataset": marks.dataset.name}
        marks.connection.execute(query("ingest/ledger/raise_data_version"), which)
