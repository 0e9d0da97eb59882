"""Probes, stages and merges the rows of one transaction.

Everything here talks to PostgreSQL. It runs in the thread `postgres`, in the order in which the work was submitted.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from pipeline_project.database import Connection
from pipeline_project.ingest.ledger import Merged
from pipeline_project.ingest.loading.microbatches import MicroBatch, Opened
from pipeline_project.ingest.loading.snapshots import Marks
from pipeline_project.ingest.mapping import Bad, FieldError, Rows
from pipeline_project.schema.dataset import Dataset, Versioned
from pipeline_project.schema.sql_files import query
from pipeline_project.schema.templates import statement

Known = dict[int, set[int]]
"""The ordinals of the records that are already stored, by the ID of their object."""


class Staged(NamedTuple):
    """Rows as text for COPY."""

    lines: bytes
    late: bool
    """True if each line begins with a flag that says whether another row of the same micro-batch is newer."""


def staged_rows(rows: dict[Opened, Rows], *, keep_all: bool = False) -> Staged:
    """Join the rows of some objects. If several rows have the same key, all but the newest one are flagged as late.

    With `keep_all`, all rows of a key count, and no row is flagged.
    """
    if keep_all or len({key for each in rows.values() for key in each.keys}) == sum(
        len(each.keys) for each in rows.values()
    ):
        lines = chain.from_iterable(each.lines for each in rows.values())
        return Staged("\n".join(chain(lines, [""])).encode(), late=False)
    newest: dict[str, tuple[datetime, datetime, int]] = {}
    positioned = [
        (key, (time, opened.position.modified_at, opened.position.object_id), line)
        for opened, each in rows.items()
        for key, time, line in zip(each.keys, each.times, each.lines, strict=True)
    ]
    for key, position, _ in positioned:
        newest[key] = max(newest.get(key, position), position)
    flagged = [f"{'f' if position == newest[key] else 't'}\t{line}\n" for key, position, line in positioned]
    return Staged("".join(flagged).encode(), late=True)


@dataclass
class Staging:
    """The temporary tables of one transaction, which holds the lock of the source and dataset."""

    connection: Connection
    source: str
    dataset: Dataset
    columns: Sequence[str]
    """The columns of a row for COPY."""
    mapping_version: int
    held: dict[int, Opened]
    """The objects of the transaction, by ID."""
    repeats: bool
    """True if an object may already have written a version of an entity that is no longer the current one."""
    rejects_only: bool
    """True if only records of the objects that were rejected before are loaded."""
    open_rejects: bool
    """True if the source and dataset have rejects that a valid record can supersede."""
    marks: Marks
    in_snapshots: list[int]
    """The objects of the transaction that belong to snapshots, by ID."""
    history_changed: bool = False
    """True if a late-arriving row changed the version history."""

    @property
    def versioned(self) -> bool:
        return isinstance(self.dataset.kind, Versioned)

    def prepare(self) -> None:
        """Make the temporary tables."""
        self.connection.execute(self._statement("loading/staging"))
        if self.in_snapshots:
            self.connection.execute(self._statement("loading/staging_members"))

    def probe(self, batch: MicroBatch, probe_keys: bytes, *, confirm: bool) -> Known:
        """Find and count the records that are already stored. `confirm` also stores that the object has sent them."""
        positions = [opened.position for opened in {id(opened): opened for opened, _ in batch}.values()]
        parameters = {
            "object_ids": [each.object_id for each in positions],
            "object_modified_ats": [each.modified_at for each in positions],
            "mapping_version": self.mapping_version,
            "repeats": self.repeats,
        }
        self.connection.execute(self._statement("loading/empty_probe"))
        table = sql.Identifier(f"probe_keys_{self.dataset.name}")
        with self.connection.cursor() as cursor:
            with cursor.copy(sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(table)) as copy:
                copy.write(probe_keys)
            rows = cursor.execute(self._statement("loading/probe"), parameters, binary=True).fetchall()
        known: Known = {}
        for object_id, ordinals, unchanged in rows:
            known.setdefault(object_id, set()).update(ordinals)
            self.held[object_id].outcome.count(Merged.UNCHANGED if unchanged else Merged.STALE, len(ordinals), 0)
        if known and confirm:
            # The next micro-batch is probed before this one is merged, and the probe overwrites its own findings.
            self.confirm([opened for opened, _ in batch[:1]])
        return known

    def confirm(self, opened: Sequence[Opened]) -> None:
        """Store what the last probe found for these objects, none of which is refused."""
        object_ids = [each.claimed.object_id for each in opened]
        which = {"object_ids": object_ids, "source": self.source, "mapping_version": self.mapping_version}
        self.connection.execute(self._statement("loading/confirm"), which)
        if members := [object_id for object_id in object_ids if object_id in self.in_snapshots]:
            self.connection.execute(self._statement("loading/say_known"), {"object_ids": members})
        if self.open_rejects:
            self.connection.execute(self._statement("rejects/supersede_rejects_by_known"), which)

    def merge(self, staged: Staged, bad: list[tuple[Opened, Bad]], confirmed: list[Opened]) -> None:
        """Write the rows and rejects of a micro-batch.

        `confirmed` are the accepted objects whose findings of the last probe are not stored yet.
        """
        if confirmed:
            self.confirm(confirmed)
        self._add_rejects_of(bad)
        if staged.lines:
            self._copy(staged)
            with self.connection.cursor() as cursor:
                if self.rejects_only and self.versioned:
                    for (object_id,) in cursor.execute(self._statement("loading/drop_overruled")).fetchall():
                        self.held[object_id].outcome.count(Merged.STALE, 1, 0)
                merge = self._statement("loading/merge")
                parameters = {"repeats": self.repeats, "marked_until": self.marks.until}
                late = False
                for object_id, result, count, deleted, *is_late in cursor.execute(merge, parameters).fetchall():
                    self.held[object_id].outcome.count(result, count, deleted)
                    late = late or any(is_late)
                if self.marks.exist:
                    cursor.execute(self._statement("loading/say_rejected"), {"source": self.source})
                if self.in_snapshots:
                    cursor.execute(self._statement("loading/say_incoming"), {"object_ids": self.in_snapshots})
                if late:
                    self._place_late(cursor)
        if self.open_rejects:
            self.connection.execute(self._statement("rejects/supersede_rejects"))

    def _add_rejects_of(self, bad: list[tuple[Opened, Bad]]) -> None:
        """Store invalid records of several objects."""
        for opened in {id(opened): opened for opened, _ in bad}.values():
            self.add_rejects(opened, [each for owner, each in bad if owner is opened])

    def add_rejects(self, opened: Opened, bad: Sequence[Bad]) -> None:
        """Store invalid records of an object, and the errors of values that could not be read."""
        if not bad:
            return
        rejects = [
            {
                "object_id": opened.claimed.object_id,
                "ordinal": each.ordinal,
                "line": each.line,
                "source": self.source,
                "dataset": self.dataset.name,
                "record_key": each.key,
                "source_updated_at": each.updated_at,
                "object_modified_at": opened.position.modified_at,
                "raw": each.raw,
                "raw_complete": each.raw_complete,
                "errors": _to_json(each.errors),
                "mapping_version": self.mapping_version,
                "kind": each.kind,
            }
            for each in bad
        ]
        with self.connection.cursor() as cursor:
            cursor.executemany(query("ingest/rejects/add_rejects"), rejects)

    def supersede_own_rejects(self, object_ids: list[int]) -> None:
        """Settle the rejects of these objects that a valid record of the same entity has overtaken."""
        if object_ids and self.versioned:
            self.connection.execute(self._statement("rejects/supersede_own_rejects"), {"object_ids": object_ids})

    def _statement(self, name: str) -> bytes:
        return statement(f"ingest/{name}", self.dataset)

    def _copy(self, staged: Staged) -> None:
        table = sql.Identifier(f"incoming_{self.dataset.name}")
        names = (*(["late"] if staged.late else []), *self.columns)
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        with self.connection.cursor() as cursor:
            cursor.execute(self._statement("loading/empty_incoming"))
            with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN (NULL '')").format(table, columns)) as copy:
                copy.write(staged.lines)
            if self.dataset.partition_by:
                cursor.execute(self._statement("loading/make_partitions"))

    def _place_late(self, cursor: psycopg.Cursor[tuple[Any, ...]]) -> None:
        """Insert late-arriving rows into the version history. Some of them may be the current version after all."""
        self.repeats = True
        cursor.execute(self._statement("loading/staging_timeline"))
        cursor.execute(self._statement("loading/empty_timeline"))
        self.marks.walk_late()
        cursor.execute(self._statement("loading/place_late"))
        cursor.execute(self._statement("loading/rewrite_confirmations"), {"source": self.source})
        for object_id, count, deleted in cursor.execute(self._statement("loading/rewrite")).fetchall():
            if object_id is None:
                self.history_changed |= count > 0
                continue
            outcome = self.held[object_id].outcome
            outcome.stale -= count
            outcome.count(Merged.CHANGED, count, deleted)
        cursor.execute(self._statement("loading/empty_late"))
        if self.marks.until is not None:
            cursor.execute(self._statement("loading/empty_walk"))


def _to_json(errors: Sequence[FieldError]) -> str:
    """Return JSON that PostgreSQL accepts. The name of an invalid field may contain a NUL, which PostgreSQL refuses."""
    return json.dumps(
        [{part: text.replace("\0", "\ufffd") for part, text in error._asdict().items()} for error in errors]
    )
