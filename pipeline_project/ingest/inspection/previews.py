"""What loading a file would do, found out by loading it in a transaction that is rolled back."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline_project.database import Connection, Database
from pipeline_project.errors import Permanent
from pipeline_project.ingest import ledger
from pipeline_project.ingest.inspection.explanations import PROVENANCE
from pipeline_project.ingest.ledger import ObjectSeen, Outcome
from pipeline_project.ingest.loading import Loader, open_object
from pipeline_project.ingest.loading.apart import ChildDied, run_apart
from pipeline_project.ingest.loading.suspects import explain_death
from pipeline_project.ingest.loading.time_limit import TimeLimits
from pipeline_project.ingest.mapping import Bad, ObjectPosition
from pipeline_project.schema.sql_files import query
from pipeline_project.settings import Settings
from pipeline_project.sources.registry import route, sources

WORKER = "check"


@dataclass(frozen=True)
class Preview:
    """What would happen to an object of this content, uploaded now under this key."""

    key: str
    outcome: Outcome
    changed: dict[str, int]
    """Of how many updated entities each field would change; of entities only."""
    first_bad: list[Bad]


class _RollBack(Exception):
    """Raised to leave the transaction without a trace."""


def preview_apart(database: Database, settings: Settings, path: Path, key: str) -> Preview:
    """Preview a file in a process of its own, whose death is the file's fault and not that of the caller."""
    arguments = (database.conninfo(), TimeLimits.from_settings(settings), path, key)
    try:
        return run_apart(_preview, *arguments, memory=settings.ingest_suspect_memory_bytes)
    except ChildDied as death:
        seconds = TimeLimits.from_settings(settings).of(path.stat().st_size)
        outcome = Outcome(0, key)
        outcome.refuse(explain_death(death, seconds))
        return Preview(key, outcome, {}, [])


def _preview(conninfo: str, limits: TimeLimits, path: Path, key: str) -> Preview:
    with Database(lambda: conninfo).connect(autocommit=True) as connection:
        return preview(connection, path, key, limits)


def preview(connection: Connection, path: Path, key: str, limits: TimeLimits | None = None) -> Preview:
    """Load a local file as an object of that key, count, and undo it. `connection` is the loader's, in autocommit mode.

    It takes its turn with the loads of the same source and dataset. Permanent where nobody is registered for the key.
    """
    if route(key) is None:
        folders = ", ".join(f"{source.prefix}/" for source in sources().values())
        raise Permanent(f"{key}: no source is registered for this folder; there are {folders}")
    result: Preview | None = None
    try:
        with connection.transaction(), path.open("rb") as file:
            version = hashlib.sha256(str(datetime.now(UTC)).encode()).hexdigest()
            size = path.stat().st_size
            seen = ObjectSeen(bucket="check", key=key, version_id=version, etag="", size=size, discovered_by="replay")
            ledger.discover(connection, [seen])
            (claimed,) = ledger.claim(connection, [seen.object_id], worker=WORKER, run_id=None, seconds=60)
            loader, source = Loader(connection, WORKER, limits), sources()[claimed.source]
            position = ObjectPosition(seen.object_id, datetime.now(UTC))
            loader.rehearse(source, claimed.dataset, open_object(claimed, position, file))
            file.seek(0)
            opened = open_object(claimed, position, file)
            outcome = loader.load_one(source, claimed.dataset, opened)
            parameters = {"object_id": seen.object_id, "provenance": PROVENANCE}
            changed = connection.execute(query("ingest/inspection/changed_columns"), parameters)
            result = Preview(key, outcome or opened.outcome, dict(changed.fetchall()), opened.first_bad)
            raise _RollBack
    except _RollBack:
        pass
    assert result is not None  # noqa: S101 the transaction was left through _RollBack
    return result
