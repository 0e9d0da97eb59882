"""What waits in the ledger, packed into batches, one for each run.

    ledger ──assign──► batches      never an object that a living run has already

Nothing here knows who runs the batches.
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
"""Seconds until an object whose run ended without it is asked for again; doubled with each attempt at it. It also covers
the moments between the giving of a batch and the launch of its run."""


class Candidate(NamedTuple):
    """An object that may be given to a batch; `day` is the one of its arrival (UTC)."""

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
    """Whether a worker died while it had these objects open."""


@dataclass(frozen=True)
class LiveRuns:
    """The batches of runs that are waiting or at work, and how many of those runs each source has.

    Runs of suspects are counted by themselves, so that other objects do not wait for them.
    """

    batches: Collection[str] = ()
    runs: Mapping[str, int] | None = None
    suspect_runs: Mapping[str, int] | None = None

    def of(self, source: str, *, suspects: bool = False) -> int:
        return ((self.suspect_runs if suspects else self.runs) or {}).get(source, 0)


def assign(
    connection: Connection, settings: Settings, living: Callable[[], LiveRuns], runs_per_source: int
) -> tuple[list[Batch], bool]:
    """Give what waits to new batches, and commit. The second is whether objects are in line or in work.

    `living` is asked only when something waits. A source has at most `runs_per_source` living runs.
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
    """Give objects of one source to at most `room` batches: suspects, or the others."""
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
    """Note that these objects are somebody's, so that no other run is asked for while that one lives."""
    connection.execute(query("ingest/ledger/assign"), {"object_ids": list(object_ids), "batch": batch})


def pack(candidates: Iterable[Candidate], *, objects: int, size: int) -> Iterator[list[Candidate]]:
    """Candidates of one day together, in their order, within both bounds; a larger object by itself."""
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
    """All objects of a source that arrived on a day (UTC), put back in line if they were at an end, and given to `batch`.

    The caller commits.
    """
    object_ids = requeue(connection, Objects(source=source, day=day))
    assign_to(connection, object_ids, batch)
    return object_ids
