"""List, show, replay and discard rejects.

open ──► resolved     replayed, and valid now
     ├─► superseded   a newer valid row of the entity was loaded
     └─► discarded    by a person
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any, Literal, NamedTuple, get_args

from psycopg.rows import class_row

from pipeline_project.database import Connection
from pipeline_project.errors import Permanent
from pipeline_project.ingest import ledger
from pipeline_project.ingest.decoding import Chunk, Envelope
from pipeline_project.ingest.ledger import Claimed
from pipeline_project.ingest.loading import Loader, Opened
from pipeline_project.ingest.mapping import ObjectPosition
from pipeline_project.schema.sql_files import query
from pipeline_project.sources.registry import sources

PAGE = 100
"""Number of rejects that a replay fetches in one step. Each can have 64 KB."""

Kind = Literal["record", "field"]
"""What was rejected: the record, or only some of its values."""
Status = Literal["open", "resolved", "superseded", "discarded"]


@dataclass(frozen=True, kw_only=True)
class Reject:
    """A rejected row, as a list shows it."""

    reject_id: int
    key: str
    ordinal: int
    line: int | None
    record_key: str | None
    status: Status
    kind: Kind
    errors: list[dict[str, str]]

    @property
    def reasons(self) -> str:
        """Return all errors of the row in one line."""
        return "; ".join(f"{error['field']} {error['message']}".strip() for error in self.errors)


@dataclass(frozen=True, kw_only=True)
class RejectInFull(Reject):
    """A reject with the text of the row: its first 64 KB, and whether that is the whole text.

    `version` is the version of the object.
    """

    version: str
    raw: bytes
    raw_complete: bool
    mapping_version: int
    created_at: datetime
    settled_at: datetime | None


class _Held(NamedTuple):
    """An open reject that is replayed."""

    reject_id: int
    ordinal: int
    kind: Kind
    errors: int
    can_be_tried: bool


@dataclass(frozen=True)
class Selection:
    """A selection of open rejects. None means "no restriction"."""

    reject_ids: Sequence[int] | None = None
    source: str | None = None
    key_prefix: str | None = None


@dataclass
class ReplayResult:
    """Counts of a replay: rows that are valid now, rows that are still invalid, and rows that were not tried."""

    resolved: int = 0
    still_bad: int = 0
    superseded: int = 0
    """Rows that were superseded or settled by another load in the meantime."""
    not_tried: int = 0
    """Rows of failed objects, and rows whose text is not stored completely. `pipeline replay` reads the object again."""


def listed(
    connection: Connection, *, source: str | None, key_prefix: str | None, status: Status | None, limit: int
) -> list[Reject]:
    """Return rejects, the latest first."""
    parameters = {"source": source, "key_prefix": key_prefix, "status": status, "limit": limit}
    with connection.cursor(row_factory=class_row(Reject)) as cursor:
        return cursor.execute(query("ingest/rejects/list_rejects"), parameters).fetchall()


def shown(connection: Connection, reject_id: int) -> RejectInFull:
    """Return one reject with its row. Raises Permanent if the ID does not exist."""
    with connection.cursor(row_factory=class_row(RejectInFull)) as cursor:
        reject = cursor.execute(query("ingest/rejects/show_reject"), {"reject_id": reject_id}).fetchone()
    if reject is None:
        raise Permanent(f"there is no reject {reject_id}: `pipeline rejects list` shows those there are")
    return reject


def discard(connection: Connection, selection: Selection) -> int:
    """Discard open rejects that will not be corrected. Return their number."""
    ids = [reject_id for reject_id, *_ in _selected(connection, selection)]
    return connection.execute(query("ingest/rejects/discard_rejects"), {"reject_ids": ids}).rowcount


def replay(connection: Connection, selection: Selection) -> ReplayResult:
    """Map open rejects again and load the rows that are valid now, each at its original position.

    Each object is one transaction. `connection` is the loader's, in autocommit mode.
    """
    result = ReplayResult()
    loader = Loader(connection, "rejects")
    for (object_id, source, dataset), group in groupby(_selected(connection, selection), key=lambda pair: pair[1:]):
        ids = [reject_id for reject_id, *_ in group]
        with connection.transaction():
            # Lock the dataset first. A load holds this lock when it settles rejects, so the other order could deadlock.
            ledger.lock_dataset(connection, source, dataset)
            opened = _held(connection, object_id)
            if opened is None:
                result.not_tried += len(ids)
                continue
            held = connection.execute(query("ingest/rejects/hold_rejects"), {"reject_ids": ids}).fetchall()
            result.superseded += len(ids) - len(held)
            # Records first. The values of a record that is loaded already change none of the object's counts of records.
            for kind in get_args(Kind):
                tried = [each for each in map(_Held._make, held) if each.kind == kind and each.can_be_tried]
                result.not_tried += sum(each.kind == kind for each in map(_Held._make, held)) - len(tried)
                if tried:
                    rows = _rows(connection, [each.reject_id for each in tried])
                    again = Opened(opened.claimed, opened.position, rows, opened.envelope)
                    settle = partial(_settle, connection, again, kind, tried)
                    loader.load_rejected(sources()[again.claimed.source], again.claimed.dataset, again, settle)
                    result.still_bad += len(again.with_rejects)
                    result.resolved += len(_good(again, tried))
    return result


def _selected(connection: Connection, selection: Selection) -> list[tuple[int, int, str, str]]:
    """Return ID, object, source and dataset of each selected open reject. Raises Permanent if a named reject does not exist."""
    ids = None if selection.reject_ids is None else list(selection.reject_ids)
    parameters = {"reject_ids": ids, "source": selection.source, "key_prefix": selection.key_prefix}
    found = connection.execute(query("ingest/rejects/select_rejects"), parameters).fetchall()
    if missing := {*(ids or ())} - {reject_id for reject_id, *_ in found}:
        named = ", ".join(map(str, sorted(missing)))
        raise Permanent(f"no such reject: {named}; `pipeline rejects list` shows those there are")
    return [
        (reject_id, object_id, source, dataset) for reject_id, object_id, is_open, source, dataset in found if is_open
    ]


def _held(connection: Connection, object_id: int) -> Opened | None:
    """Lock the object and return it without records. Return None if it cannot be completed."""
    held = connection.execute(query("ingest/rejects/hold_rejected"), {"object_id": object_id}).fetchone()
    if held is None or held[6] not in sources():
        return None
    names = ("object_id", "bucket", "key", "version", "versioned", "size", "source", "dataset", "attempts")
    *identity, file_format, last_modified = held
    claimed = Claimed(**dict(zip(names, identity, strict=True)), replayed=True, loaded_before=True)
    return Opened(claimed, ObjectPosition(object_id, last_modified), iter(()), Envelope(format=file_format))


def _rows(connection: Connection, reject_ids: list[int]) -> Iterator[Chunk]:
    """Yield rejected rows in their order, each as a chunk. One page is in memory."""
    for begin in range(0, len(reject_ids), PAGE):
        page = {"reject_ids": reject_ids[begin : begin + PAGE]}
        for ordinal, line, raw in connection.execute(query("ingest/rejects/rejected_rows"), page).fetchall():
            yield Chunk(ordinal, [raw], line=lambda _, line=line: line)


def _good(opened: Opened, tried: Sequence[_Held]) -> set[int]:
    """Return the ordinals of the records that are valid now."""
    return {each.ordinal for each in tried} - {*opened.with_rejects}


def _settle(connection: Connection, opened: Opened, kind: Kind, tried: Sequence[_Held]) -> None:
    names = ("inserted", "updated", "unchanged", "stale", "deleted")
    is_of_records = kind == "record"
    counts = {name: getattr(opened.outcome, name) if is_of_records else 0 for name in names}
    parameters: dict[str, Any] = {
        "object_id": opened.outcome.object_id,
        "good": sorted(_good(opened, tried)),
        "loaded": len(tried) - len(opened.bad_ordinals) if is_of_records else 0,
        "fields_unread": opened.seen.unread.total() - (0 if is_of_records else sum(each.errors for each in tried)),
        **counts,
    }
    connection.execute(query("ingest/rejects/settle_replayed_rejects"), parameters)
