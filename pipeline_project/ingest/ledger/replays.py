"""Requeue objects by ID, key prefix, source or day of arrival. Loaded data stays as it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from pipeline_project.database import Connection
from pipeline_project.ingest.ledger import objects as ledger
from pipeline_project.ingest.ledger.object_states import ObjectState
from pipeline_project.schema.sql_files import query
from pipeline_project.sources import registry
from pipeline_project.sources.source import Source

PAGE = 1_000
"""Number of objects that are requeued in one step."""
BEFORE_ALL = "-infinity"
"""A time of PostgreSQL before all others."""
SMALLEST_ID = -1


@dataclass(frozen=True)
class Objects:
    """A selection of objects. None means "no restriction"."""

    object_ids: Sequence[int] | None = None
    key_prefix: str | None = None
    source: str | None = None
    day: date | None = None


class _Found(NamedTuple):
    object_id: int
    key: str
    state: str
    discovered_at: datetime


def requeue(connection: Connection, objects: Objects) -> list[int]:
    """Requeue objects page by page, so that memory holds only their IDs. Return the IDs of the objects that now wait.

    An unroutable object is requeued if a source is now registered for its folder. An object stays as it is if its source
    is no longer registered. The landing sensor, or a worker that gets the IDs, loads them. The caller commits.
    """
    waiting: list[int] = []
    for page in _pages(connection, objects):
        ways = {each.object_id: registry.route(each.key) for each in page if each.state == ObjectState.UNROUTABLE}
        routed = {object_id: way for object_id, way in ways.items() if way and objects.source in (None, way[0].name)}
        ledger.reroute(connection, routed)
        object_ids = [each.object_id for each in page]
        ledger.replay(connection, object_ids)
        waiting += ledger.claimable(connection, object_ids)
    return waiting


def _pages(connection: Connection, objects: Objects) -> Iterator[list[_Found]]:
    if objects.object_ids is not None:
        yield from _named(connection, objects, objects.object_ids)
        return
    for source in registry.sources().values():
        if objects.source in (None, source.name) and _may_have(source, objects.key_prefix):
            yield from _of_source(connection, objects, source)
            yield from _unroutable(connection, objects, source)


def _may_have(source: Source, key_prefix: str | None) -> bool:
    """Return whether keys of the source's folder can begin with the prefix."""
    folder, prefix = f"{source.prefix}/", key_prefix or ""
    return folder.startswith(prefix) or prefix.startswith(folder)


def _named(connection: Connection, objects: Objects, object_ids: Sequence[int]) -> Iterator[list[_Found]]:
    which = {"source": objects.source, "key_prefix": objects.key_prefix, "day": objects.day}
    for begin in range(0, len(object_ids), PAGE):
        parameters = {**which, "object_ids": list(object_ids[begin : begin + PAGE])}
        yield _read(connection, "select_named", parameters)


def _of_source(connection: Connection, objects: Objects, source: Source) -> Iterator[list[_Found]]:
    which = {"source": source.name, "key_prefix": objects.key_prefix, "day": objects.day, "limit": PAGE}
    after: dict[str, object] = {"after_at": BEFORE_ALL, "after_id": SMALLEST_ID}
    while page := _read(connection, "select_objects", {**which, **after}):
        yield page
        after = {"after_at": page[-1].discovered_at, "after_id": page[-1].object_id}


def _unroutable(connection: Connection, objects: Objects, source: Source) -> Iterator[list[_Found]]:
    """Yield pages of the objects that arrived in the source's folder before the source was registered."""
    until_key = f"{source.prefix}{chr(ord('/') + 1)}"
    which = {"until_key": until_key, "key_prefix": objects.key_prefix, "day": objects.day, "limit": PAGE}
    after: dict[str, object] = {"after_key": f"{source.prefix}/", "after_id": SMALLEST_ID}
    while page := _read(connection, "select_unroutable", {**which, **after}):
        yield page
        after = {"after_key": page[-1].key, "after_id": page[-1].object_id}


def _read(connection: Connection, name: str, parameters: dict[str, object]) -> list[_Found]:
    return [_Found(*row) for row in connection.execute(query(f"ingest/ledger/{name}"), parameters)]
