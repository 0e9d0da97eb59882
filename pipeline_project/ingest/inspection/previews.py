"""Preview what loading a file would do: load it in a transaction that is rolled back."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline_project.child_process import ChildDied, run_apart
from pipeline_project.database import Connection, Database
from pipeline_project.datasets.registry import datasets
from pipeline_project.errors import Permanent
from pipeline_project.ingest import ledger
from pipeline_project.ingest.inspection.columns import ColumnReport, column_reports
from pipeline_project.ingest.inspection.explanations import provenance
from pipeline_project.ingest.ledger import ObjectSeen, Outcome
from pipeline_project.ingest.loading import JudgedInPart, Loader, open_object
from pipeline_project.ingest.loading.suspects import explain_death
from pipeline_project.ingest.loading.time_limit import TimeLimits
from pipeline_project.ingest.mapping import Bad, ObjectPosition
from pipeline_project.schema.dataset import Dataset, Versioned
from pipeline_project.schema.templates import statement
from pipeline_project.settings import Settings
from pipeline_project.sources.registry import route, sources

WORKER = "check"


@dataclass(frozen=True)
class Preview:
    """The outcome for a file with this content, if it were uploaded now under this key."""

    key: str
    outcome: Outcome
    changed: dict[str, int]
    """Field -> number of rows in which it would change. Empty for datasets without history."""
    first_bad: list[Bad]
    columns: ColumnReport | None = None
    """How the file was read. None if it could not be read so far."""
    emptied: dict[str, int] = field(default_factory=dict)
    """Field -> number of rows in which it would become empty, because the record does not send it or sends a null."""
    partial: bool = False
    """True if a field that a record does not send keeps its value."""


class _RollBack(Exception):
    """Raised to roll back the transaction."""


def preview_apart(database: Database, settings: Settings, path: Path, key: str) -> Preview:
    """Preview a file in a process of its own. If the file ends that process, the caller continues."""
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
    """Load a local file as an object with this key, count, and roll back.

    `connection` is the loader's, in autocommit mode. The preview waits for the lock on source and dataset, as loads do.
    Raises Permanent if no source is registered for the key.
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
            try:
                outcome = loader.load_one(source, claimed.dataset, opened)
            except JudgedInPart:
                file.seek(0)
                opened = open_object(claimed, position, file)
                outcome = loader.load_one(source, claimed.dataset, opened, probe=False)
            changed = _changed(connection, datasets()[claimed.dataset], seen.object_id)
            emptied = {name: rows for name, _, rows in changed if rows}
            report = next(iter(column_reports(connection, [seen.object_id])), None)
            result = Preview(
                key,
                outcome or opened.outcome,
                {name: rows for name, rows, _ in changed},
                opened.first_bad,
                report,
                emptied,
                source.is_partial(claimed.dataset),
            )
            raise _RollBack
    except _RollBack:
        pass
    assert result is not None  # noqa: S101 the transaction was left through _RollBack
    return result


def _changed(connection: Connection, dataset: Dataset, object_id: int) -> list[tuple[str, int, int]]:
    """Return the fields that an object changed, with the number of rows, and of rows in which the field became empty."""
    if not isinstance(dataset.kind, Versioned):
        return []
    parameters = {"object_id": object_id, "provenance": provenance(dataset)}
    return connection.execute(statement("ingest/inspection/changed_columns", dataset), parameters).fetchall()
