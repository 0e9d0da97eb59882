"""Loading objects once more: by id, key prefix, source or day of arrival. What is there already stays as it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pipeline_project.database import Connection
from pipeline_project.ingest.ledger import objects as ledger
from pipeline_project.schema.sql_files import query
from pipeline_project.sources.registry import route


@dataclass(frozen=True)
class Objects:
    """Which objects are meant; None restricts nothing."""

    object_ids: Sequence[int] | None = None
    key_prefix: str | None = None
    source: str | None = None
    day: date | None = None


def put_back(connection: Connection, objects: Objects) -> list[int]:
    """Put the objects back in line, and those nobody was registered for if somebody is now; the ids of all that wait.

    The landing sensor, or whoever calls a worker with the ids, loads them. The caller commits.
    """
    parameters = {
        "object_ids": None if objects.object_ids is None else list(objects.object_ids),
        "key_prefix": objects.key_prefix,
        "source": objects.source,
        "day": objects.day,
    }
    # By source, an object that was unroutable would not be found: its row has none yet.
    found = connection.execute(query("ingest/ledger/select_objects"), {**parameters, "source": None}).fetchall()
    ways = {object_id: route(key) for object_id, key, _, state in found if state == "unroutable"}
    routed = {object_id: way for object_id, way in ways.items() if way and objects.source in (None, way[0].name)}
    connection.execute(
        query("ingest/ledger/reroute"),
        {
            "object_ids": list(routed),
            "sources": [source.name for source, _ in routed.values()],
            "datasets": [dataset for _, dataset in routed.values()],
        },
    )
    meant = [object_id for object_id, _, source, _ in found if objects.source in (None, source)]
    ledger.replay(connection, meant)
    waiting = {*meant, *routed}
    return [each.object_id for each in ledger.waiting(connection, ledger.ALL) if each.object_id in waiting]
