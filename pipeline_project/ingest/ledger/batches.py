"""Pack objects that wait in the ledger into batches, one batch for each run.

    ledger ──assign──► batches      never an object that an unfinished run already has

How batches are run does not belong here.
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from typing import NamedTuple

from pipeline_project.database import Connection
from pipeline_project.ingest.ledger.replays import Objects, requeue
from pipeline_project.schema.sql_files import query
from pipeline_project.settings import Settings

PAUSE = 15
"""Seconds until an object is assigned again if its run ended without loading it. Doubles with each attempt. The pause also
covers the time between the assignment of a batch and the launch of its run."""


class Candidate(NamedTuple):
    """An object that can be assigned to a batch. `day` is its day of arrival (UTC)."""

    object_id: int
    day: date
    size: int


@dataclass(frozen=True)
class Batch:
    """Objects of one source that arrived on one day, for one run."""

    id: str
    source: str
    day: date
    object_ids: list[int]
    bytes: int
    suspects: bool = False
    """True if a worker died while it had these objects open."""


@dataclass(frozen=True)
class LiveRuns:
    """The batches of unfinished runs, and the number of these runs for each source.

    Runs of suspects are counted separately, so that other objects do not wait for them.
    """

    batches: Collection[str] = ()
    runs: Mapping[str, int] | None = None
    suspect_runs: Mapping[str, int] | None = None

    def of(self, source: str, *, suspects: bool = False) -> int:
        return ((self.suspect_runs if suspects else self.runs) or {}).get(source, 0)


def assign(
    connection: Connection, settings: Settings, living: Callable[[], LiveRuns], runs_per_source: int
) -> tuple[list[Batch], bool]:
    """Assign waiting objects to new batches and commit.

    Returns the batches, and whether any objects are waiting or being loaded. `living` is called only if objects wait. A
    source gets at most `runs_per_source` unfinished runs.
    """
    waiting = [source for (source,) in connection.execute(query("ingest/ledger/waiting_sources"))]
    connection.commit()
    if not waiting:
        return [], False
    alive = living()
    given: list[Batch] = []
    for source in waiting:
        for suspects in (False, True):
            room = runs_per_source - alive.of(source, suspects=suspects)
            if room > 0:
                given += _give(connection, settings, source, alive, room, suspects=suspects)
        connection.commit()
    return given, True


def _give(
    connection: Connection, settings: Settings, source: str, alive: LiveRuns, room: int, *, suspects: bool
) -> Iterator[Batch]:
    """Assign objects of one source to at most `room` batches: either suspects, or all other objects."""
    parameters = {
        "source": source,
        "suspects": suspects,
        "live": list(alive.batches),
        "pause": PAUSE,
        "limit": room * settings.ingest_batch_objects,
    }
    candidates = [Candidate(*row) for row in connection.execute(query("ingest/ledger/unassigned"), parameters)]
    packed = pack(candidates, objects=settings.ingest_batch_objects, size=settings.ingest_batch_bytes)
    for part in islice(packed, room):
        batch = _batch(source, part, suspects=suspects)
        assign_to(connection, batch.object_ids, batch.id)
        yield batch


def assign_to(connection: Connection, object_ids: Collection[int], batch: str) -> None:
    """Record that objects belong to a batch. Until its run ends, they are not assigned to another one."""
    connection.execute(query("ingest/ledger/assign"), {"object_ids": list(object_ids), "batch": batch})


def pack(candidates: Iterable[Candidate], *, objects: int, size: int) -> Iterator[list[Candidate]]:
    """Pack candidates of one day, in their order, within both limits. An object above the limit is a batch of its own."""
    days: dict[date, list[Candidate]] = {}
    for candidate in candidates:
        days.setdefault(candidate.day, []).append(candidate)
    for day in sorted(days):
        part: list[Candidate] = []
        for candidate in days[day]:
            if part and (len(part) == objects or sum(each.size for each in part) + candidate.size > size):
                yield part
                part = []
            part.append(candidate)
        yield part


def _batch(source: str, part: list[Candidate], *, suspects: bool) -> Batch:
    return Batch(
        id=f"{source}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}",
        source=source,
        day=part[0].day,
        object_ids=[each.object_id for each in part],
        bytes=sum(each.size for each in part),
        suspects=suspects,
    )


def arrivals(connection: Connection, source: str, day: date, batch: str) -> list[int]:
    """Requeue all objects of a source that arrived on a day (UTC), and assign them to `batch`. Return their IDs.

    The caller commits.
    """
    object_ids = requeue(connection, Objects(source=source, day=day))
    assign_to(connection, object_ids, batch)
    return object_ids
