"""Makes migrations for everything that the datasets declare and the committed migrations do not make yet.

The migrations are applied to a throw-away database, and its catalogue is compared with the declaration. Only additions are
written. Each statement is executed on that database before it is written, and nothing may differ afterwards.
"""

import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pipeline_project.canonical.difference import difference
from pipeline_project.canonical.migrations import MIGRATIONS, migrate
from pipeline_project.database import Connection, Role
from pipeline_project.errors import Permanent
from pipeline_project.schema.dataset import Dataset
from pipeline_project.schema.sql_files import query

NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
_TIMESTAMP = re.compile(r"(\d{14})_.*\.sql")


class MigrationRefused(Permanent):
    """The declaration differs from the database in more than additions."""


def make(
    admin_conninfo: str, name: str, declared: Iterable[Dataset], folder: Path = MIGRATIONS, others: Sequence[Path] = ()
) -> Path | None:
    """Write a migration for what the declaration adds. Return its path, or None if nothing differs.

    `admin_conninfo` names a server for throw-away use and a user who may create roles and databases. Migrations of a `folder` of
    its own come after those of the platform and of `others`. Raises MigrationRefused for differences that are no additions.
    """
    if not NAME.fullmatch(name):
        raise Permanent(
            f"{name!r} is no name of a migration. Use lower-case letters, digits and underscores, for example add_segment."
        )
    folders = list(dict.fromkeys(each.resolve() for each in (MIGRATIONS, *others, folder)))
    folder.mkdir(parents=True, exist_ok=True)
    datasets = list(declared)
    with _migrated(admin_conninfo, folders) as connection:
        found = difference(connection, datasets)
        if not found.by_hand and (rest := difference(connection, datasets)).statements:
            found.by_hand += [
                f"The migration does not add this by itself, write it by hand: {each}" for each in rest.statements
            ]
        connection.rollback()
    if found.by_hand:
        raise MigrationRefused("\n".join(["No migration was written.", *found.by_hand]))
    if not found.statements:
        return None
    path = folder / f"{_next_timestamp(folders)}_{name}.sql"
    text = "\n\n".join(
        [f"-- Made by `pipeline migrations make {name}` from the declaration of the datasets.", *found.statements]
    )
    path.write_text(f"-- migrate:up\n\n{text}\n\n-- migrate:down\n", "utf-8")
    return path


def _next_timestamp(folders: Iterable[Path]) -> int:
    """Return the time in UTC. If a migration is newer, return the next number: the new file must run last."""
    taken = [
        int(match[1]) for folder in folders for path in folder.iterdir() if (match := _TIMESTAMP.fullmatch(path.name))
    ]
    return max([int(f"{datetime.now(UTC):%Y%m%d%H%M%S}"), *(each + 1 for each in taken)])


@contextmanager
def _migrated(admin_conninfo: str, folders: Sequence[Path]) -> Iterator[Connection]:
    """Yield a connection of the owner to a new database with the committed migrations. Drop the database at the end."""
    name = f"migrations_{secrets.token_hex(6)}"
    passwords: dict[Role, str] = {role: secrets.token_urlsafe(16) for role in ("owner", "loader", "reader")}
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        if admin.execute(query("canonical/hosts_platform")).fetchone() == (True,):
            raise Permanent(
                "This server has a database of the platform, whose passwords would be changed. "
                "Name a server for throw-away use."
            )
        target = make_conninfo(admin_conninfo, dbname=name)
        try:
            migrate(target, passwords, folders)
            owner = make_conninfo(target, user="pipeline_owner", password=passwords["owner"])
            with psycopg.connect(owner) as connection:
                yield connection
        finally:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
