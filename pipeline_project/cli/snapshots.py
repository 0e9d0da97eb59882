"""`pipeline snapshots`: exports that contain everything, and the decisions of people about them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from pipeline_project.database import Connection
from pipeline_project.errors import Permanent
from pipeline_project.ingest.ledger import SnapshotLine, SnapshotState, list_snapshots, snapshot_objects
from pipeline_project.ingest.loading import snapshots
from pipeline_project.services import Services
from pipeline_project.sources.registry import sources
from pipeline_project.terminal import moment, print_line, print_table

app = typer.Typer(help="Exports that contain everything: what is missing in one is deleted.", no_args_is_help=True)

ATTEMPTS = 2
MOST = 100_000
UNDECIDED = (SnapshotState.OPEN, SnapshotState.HELD)

SourceOption = Annotated[str | None, typer.Option("--source", help="Only of this source system.")]
NameArgument = Annotated[
    str, typer.Argument(help="Name of the snapshot, or its ID. Write an ID after `--`, for example `-- -12`.")
]


@contextmanager
def _loader() -> Iterator[Connection]:
    with Services(attempts=ATTEMPTS) as services, services.loader.connect(autocommit=True) as connection:
        yield connection


@app.command("list")
def show_list(
    source: SourceOption = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that are closed or discarded.")] = False,
    limit: Annotated[int, typer.Option(help="Most snapshots to show.", min=1, max=MOST)] = 100,
) -> None:
    """Show snapshots that are open or held, the latest first."""
    if source is not None and source not in sources():
        raise Permanent(f"There is no source {source!r}. Use one of: {', '.join(sources())}.")
    with _loader() as connection:
        found = list_snapshots(connection, source=source, states=None if every else UNDECIDED, limit=limit + 1)
    names = ("source", "dataset", "scope", "name", "state", "as_of", "parts", "members", "deletes", "reason")
    rows = [[getattr(each, name) for name in names] for each in found[:limit]]
    more = f"There are more. Use --limit to show more than {limit:,}." if len(found) > limit else None
    print_table(
        *(name.replace("_", " ") for name in names),
        rows=rows,
        caption=more,
    )


@app.command()
def show(name: NameArgument, source: SourceOption = None, scope: str | None = None) -> None:
    """Show one snapshot with its objects."""
    with _loader() as connection:
        found = _one(connection, name, source, scope)
        objects = snapshot_objects(connection, found.snapshot_id)
    _tell(found)
    print_table("object", "state", "uploaded", rows=[tuple(each) for each in objects])


@app.command()
def approve(name: NameArgument, source: SourceOption = None, scope: str | None = None) -> None:
    """Let a held snapshot delete what is missing in it. The decision also holds for its later parts and replays."""
    with _loader() as connection:
        _tell(snapshots.approve(connection, _one(connection, name, source, scope)))


@app.command()
def discard(name: NameArgument, source: SourceOption = None, scope: str | None = None) -> None:
    """Decide that nothing follows from a snapshot. Its records stay. If it is closed, its deletions are taken back."""
    with _loader() as connection:
        _tell(snapshots.discard(connection, _one(connection, name, source, scope)))


def _one(connection: Connection, name: str, source: str | None, scope: str | None) -> SnapshotLine:
    """Return the snapshot with a name or an ID. Raises Permanent unless there is exactly one."""
    by_id = int(name) if name.startswith("-") and name[1:].isdecimal() else None
    found = [
        each
        for each in list_snapshots(connection, source=source, name=None if by_id else name, snapshot=by_id, limit=MOST)
        if scope is None or each.scope == scope
    ]
    if not found:
        raise Permanent(f"There is no snapshot {name!r}. `pipeline snapshots list --all` shows all snapshots.")
    if len(found) > 1:
        several = ", ".join(f"{each.source} {each.dataset} {each.scope}".strip() for each in found[:10])
        raise Permanent(f"{len(found)} snapshots have the name {name!r}: {several}. Add --source or --scope.")
    return found[0]


def _tell(found: SnapshotLine) -> None:
    scope = f", scope {found.scope}" if found.scope else ""
    as_of = f", as of {moment(found.as_of)}" if found.as_of else ""
    print_line(f"snapshot {found.name} of {found.source} {found.dataset}{scope}: {found.state}{as_of}")
    print_line(f"  ID {found.snapshot_id}, {found.parts:,} parts, {found.members:,} members")
    would = "would delete" if found.state == SnapshotState.HELD else "deletes"
    print_line(f"  {would} {found.deletes:,}, brings back {found.restores:,}")
    if found.approved_at:
        print_line(f"  approved {moment(found.approved_at)}")
    if found.reason:
        print_line(f"  {found.state} because {found.reason}")
