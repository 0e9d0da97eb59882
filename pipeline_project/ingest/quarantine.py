"""Rejected rows and what becomes of them: open ──► resolved (replayed, and good now), superseded (a newer good row came)
or discarded (by a person).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Literal

from psycopg.rows import class_row

from pipeline_project.canonical.sql_files import query
from pipeline_project.database import Connection
from pipeline_project.errors import Permanent
from pipeline_project.ingest.json_records import Chunk, Envelope
from pipeline_project.ingest.ledger import Claimed, Outcome
from pipeline_project.ingest.load import Loader
from pipeline_project.ingest.mapping import ObjectPosition
from pipeline_project.ingest.pieces import Opened
from pipeline_project.sources.registry import sources

Status = Literal["open", "resolved", "superseded", "discarded"]


@dataclass(frozen=True, kw_only=True)
class Reject:
    """A row in quarantine, as a list shows it."""

    reject_id: int
    key: str
    ordinal: int
    line: int | None
    record_key: str | None
    status: Status
    errors: list[dict[str, str]]
    created_at: datetime

    @property
    def reasons(self) -> str:
        """All that is wrong with it, in one line."""
        return "; ".join(f"{error['field']} {error['message']}".strip() for error in self.errors)


@dataclass(frozen=True, kw_only=True)
class RejectInFull(Reject):
    """With the row as it was sent: its first 64 KB, and whether that is all of it."""

    version: str
    object_id: int
    source: str
    dataset: str
    raw: bytes
    raw_complete: bool
    mapping_version: int
    settled_at: datetime | None


@dataclass(frozen=True)
class Selection:
    """Which open rejects a command means; None restricts nothing."""

    reject_ids: Sequence[int] | None = None
    source: str | None = None
    key_prefix: str | None = None


@dataclass
class ReplayResult:
    """What a replay made of the rejects: rows that are good now, rows that are still bad, rows it could not try."""

    resolved: int = 0
    still_bad: int = 0
    not_tried: int = 0
    """Of objects that were refused whole, or too long to be kept whole: `pipeline replay` reads the object itself."""


def listed(
    connection: Connection, *, source: str | None, key_prefix: str | None, status: Status | None, limit: int
) -> list[Reject]:
    """Rejects, the latest first."""
    parameters = {"source": source, "key_prefix": key_prefix, "status": status, "limit": limit}
    with connection.cursor(row_factory=class_row(Reject)) as cursor:
        return cursor.execute(query("ingest/list_rejects"), parameters).fetchall()


def shown(connection: Connection, reject_id: int) -> RejectInFull:
    """One reject with its row. Permanent if there is none of that id."""
    with connection.cursor(row_factory=class_row(RejectInFull)) as cursor:
        reject = cursor.execute(query("ingest/show_reject"), {"reject_id": reject_id}).fetchone()
    if reject is None:
        raise Permanent(f"there is no reject {reject_id}: `pipeline rejects list` shows those there are")
    return reject


def discard(connection: Connection, selection: Selection) -> int:
    """Settle open rejects that nobody will mend; how many."""
    ids = [reject_id for reject_id, _ in _selected(connection, selection)]
    return connection.execute(query("ingest/discard_rejects"), {"reject_ids": ids}).rowcount


def replay(connection: Connection, selection: Selection) -> ReplayResult:
    """Map open rejects anew and load those that are good now, each at the position it always had.

    A transaction for each object. `connection` is the loader's, in autocommit mode.
    """
    result = ReplayResult()
    loader = Loader(connection, "rejects")
    for object_id, group in groupby(_selected(connection, selection), key=lambda pair: pair[1]):
        ids = [reject_id for reject_id, _ in group]
        with connection.transaction():
            opened = _opened(connection, object_id, ids)
            if opened is None:
                result.not_tried += len(ids)
                continue
            tried = loader.load_rejected(sources()[opened.claimed.source], opened.claimed.dataset, opened)
            _settle(connection, ids, opened, tried)
        result.still_bad += tried.rejected
        result.resolved += tried.records - tried.rejected
        result.not_tried += len(ids) - tried.records
    return result


def _selected(connection: Connection, selection: Selection) -> list[tuple[int, int]]:
    ids = None if selection.reject_ids is None else list(selection.reject_ids)
    parameters = {"reject_ids": ids, "source": selection.source, "key_prefix": selection.key_prefix}
    return connection.execute(query("ingest/select_rejects"), parameters).fetchall()  # pyright: ignore[reportReturnType]


def _opened(connection: Connection, object_id: int, reject_ids: list[int]) -> Opened | None:
    held = connection.execute(query("ingest/hold_rejected"), {"object_id": object_id}).fetchone()
    if held is None or held[6] not in sources():
        return None
    names = ("object_id", "bucket", "key", "version", "versioned", "size", "source", "dataset", "attempts")
    *identity, last_modified = held
    claimed = Claimed(**dict(zip(names, identity, strict=True)), replayed=True, loaded_before=True)
    rows = connection.execute(
        query("ingest/rejected_rows"), {"reject_ids": reject_ids, "object_id": object_id}
    ).fetchall()
    chunks = iter([Chunk(ordinal, [raw], line=lambda _, line=line: line) for ordinal, line, raw in rows])
    return Opened(claimed, ObjectPosition(object_id, last_modified), chunks, Envelope())


def _settle(connection: Connection, reject_ids: list[int], opened: Opened, tried: Outcome) -> None:
    counts: dict[str, Any] = {
        name: getattr(tried, name) for name in ("inserted", "updated", "unchanged", "stale", "deleted")
    }
    parameters = {"object_id": opened.claimed.object_id, "reject_ids": reject_ids, "bad": opened.bad_ordinals, **counts}
    connection.execute(query("ingest/settle_replayed_rejects"), parameters)
