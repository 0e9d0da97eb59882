"""What a person wants to know about a batch that was loaded: totals, reasons, a few entities. Not how it is shown."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice
from typing import NamedTuple

from pipeline_project.database import Connection
from pipeline_project.ingest.ledger import COUNTS, Outcome
from pipeline_project.schema.sql_files import query

PREVIEWED = 10


class DatasetShare(NamedTuple):
    """What the objects of one dataset amount to; `longest_lag` is in seconds, from discovery to the end."""

    dataset: str
    objects: int
    bytes: int
    longest_lag: float | None


class EntityLine(NamedTuple):
    """An entity as it stands after the load."""

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
    """Why rows were rejected; `example` names one of them."""

    field: str | None
    message: str
    rows: int
    example: str


def totals(outcomes: Iterable[Outcome]) -> Counter[str]:
    """The sum of each count, and the number of objects in each state (`objects_loaded`, …)."""
    sums: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
    for outcome in outcomes:
        sums.update({name: getattr(outcome, name) for name in COUNTS})
        sums[f"objects_{outcome.state}"] += 1
    return sums


def shares(connection: Connection, object_ids: Sequence[int]) -> list[DatasetShare]:
    rows = connection.execute(query("ingest/ledger/batch_datasets"), {"object_ids": list(object_ids)})
    return [DatasetShare(*row) for row in rows]


def reject_reasons(connection: Connection, object_ids: Sequence[int]) -> list[RejectReason]:
    """The most frequent reasons, of rows that are still open."""
    rows = connection.execute(query("ingest/rejects/batch_reject_reasons"), {"object_ids": list(object_ids)})
    return [RejectReason(*row) for row in rows]


def first_entities(connection: Connection, outcomes: Iterable[Outcome]) -> list[EntityLine]:
    """A few of the entities that were loaded; none where only relationships or metrics were."""
    keys = list(islice(chain.from_iterable(outcome.first_keys for outcome in outcomes), PREVIEWED))
    rows = connection.execute(query("ingest/ledger/batch_first_entities"), {"canonical_ids": keys})
    return [EntityLine(*row) for row in rows]


def rejects_command(source: str, outcomes: Sequence[Outcome]) -> str:
    """What a person types to see the rejected rows: of the object, if there is just one."""
    with_rejects = [outcome.key for outcome in outcomes if outcome.rejected]
    narrowed = ["--prefix", with_rejects[0]] if len(with_rejects) == 1 else ["--source", source]
    return shlex.join(["pipeline", "rejects", "list", *narrowed])
