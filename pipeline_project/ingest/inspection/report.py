"""Report on a loaded batch: totals, reasons of rejects, a few entities. Formatting does not belong here."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from pipeline_project.database import Connection
from pipeline_project.ingest.ledger import COUNTS, Outcome
from pipeline_project.schema.sql_files import query

PREVIEWED = 10


class DatasetShare(NamedTuple):
    """The objects of one dataset in a batch. `longest_lag` is the time from discovery to the end, in seconds."""

    dataset: str
    objects: int
    bytes: int
    longest_lag: float | None


class EntityLine(NamedTuple):
    """An entity after the load."""

    canonical_id: str
    name: str | None
    entity_type: str
    industry: str | None
    country: str | None
    revenue: Decimal | None
    employees: int | None
    version: int
    source_updated_at: datetime


class RejectReason(NamedTuple):
    """A reason why rows were rejected. `example` names one of the rows."""

    field: str | None
    message: str
    rows: int
    example: str


class BatchColumn(NamedTuple):
    """A column in the objects of a batch. `looked_at`: the records that the count of filled ones is about."""

    dataset: str
    name: str
    field: str | None
    """None: the column became an attribute."""
    objects: int
    filled: int
    looked_at: int


class BatchDrift(NamedTuple):
    """A difference between an object of a batch and the file before it."""

    key: str
    before: str
    lost: list[str]
    """Fields that the file before had, and that this file has not or never fills."""
    vanished: list[str]
    appeared: list[str]


def totals(outcomes: Iterable[Outcome]) -> Counter[str]:
    """Return the sum of each count, and the number of objects in each state (`objects_loaded`, …)."""
    sums: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
    for outcome in outcomes:
        sums.update({name: getattr(outcome, name) for name in COUNTS})
        sums[f"objects_{outcome.state}"] += 1
    return sums


def shares(connection: Connection, object_ids: Sequence[int]) -> list[DatasetShare]:
    rows = connection.execute(query("ingest/ledger/batch_datasets"), {"object_ids": list(object_ids)})
    return [DatasetShare(*row) for row in rows]


def reject_reasons(connection: Connection, object_ids: Sequence[int]) -> list[RejectReason]:
    """Return the most frequent reasons of open rejects."""
    rows = connection.execute(query("ingest/rejects/batch_reject_reasons"), {"object_ids": list(object_ids)})
    return [RejectReason(*row) for row in rows]


def columns(connection: Connection, object_ids: Sequence[int]) -> list[BatchColumn]:
    """Return the columns of the objects, and what each was read as."""
    rows = connection.execute(query("ingest/inspection/batch_columns"), {"object_ids": list(object_ids)})
    return [BatchColumn(*row) for row in rows]


def drift(connection: Connection, object_ids: Sequence[int]) -> list[BatchDrift]:
    """Return how the objects differ from the files before them, those with lost fields first."""
    rows = connection.execute(query("ingest/inspection/batch_drift"), {"object_ids": list(object_ids)})
    return [BatchDrift(*row) for row in rows]


def first_entities(connection: Connection, outcomes: Iterable[Outcome]) -> list[EntityLine]:
    """Return a few of the loaded entities. Batches of other datasets have none."""
    loaded = [(outcome.object_id, key) for outcome in outcomes for key in outcome.first_keys]
    parameters = {
        "object_ids": [object_id for object_id, _ in loaded],
        "keys": [key for _, key in loaded],
        "limit": PREVIEWED,
    }
    rows = connection.execute(query("ingest/ledger/batch_first_entities"), parameters)
    return [EntityLine(*row) for row in rows]


def rejects_command(source: str, outcomes: Sequence[Outcome]) -> str:
    """Return the command that lists the rejected rows: of one object if only one has rejects, otherwise of the source."""
    with_rejects = [outcome.key for outcome in outcomes if outcome.rejected]
    narrowed = ["--prefix", with_rejects[0]] if len(with_rejects) == 1 else ["--source", source]
    return shlex.join(["pipeline", "rejects", "list", *narrowed])
