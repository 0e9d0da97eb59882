"""Brings a database to the current schema.

First come the owner role, the database and the passwords. Then dbmate applies the files of sql/migrations and of plug-ins, each
in a transaction. dbmate records the applied files in public.schema_migrations.
"""

import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pipeline_project.database import Role
from pipeline_project.errors import Permanent
from pipeline_project.plugins import PluginError, sql_folders
from pipeline_project.schema.sql_files import SQL, query

MIGRATIONS = SQL / "migrations"
# Any constant will do. With this lock, two migrations of a database run one after another. dbmate itself takes no lock.
MIGRATION_LOCK = 7_041_776


def migrate(admin_conninfo: str, passwords: Mapping[Role, str], folders: Sequence[Path] | None = None) -> None:
    """Create the owner role, the database and the schema as far as they are missing. Set the passwords of the three roles.

    `admin_conninfo` names the target database and a user who may create roles and databases, for example the master user of RDS.
    `folders` are by default the folder of the platform and those of plug-ins. A repetition changes nothing. Raises Permanent
    with dbmate's message if a migration fails.
    """
    folders = [MIGRATIONS, *sql_folders("migrations")] if folders is None else folders
    _refuse_equal_versions(folders)
    target = conninfo_to_dict(admin_conninfo)
    database = str(target["dbname"])
    with psycopg.connect(admin_conninfo, dbname="postgres", autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))  # held until the connection closes
        _create(admin, database, "pipeline_owner", passwords["owner"], "LOGIN CREATEROLE")
        _dbmate_up(str(target["host"]), str(target["port"]), database, passwords["owner"], folders)
        # The migrations grant this once. A database that was restored from a backup has them applied, and no grants.
        for grant in (
            "GRANT CONNECT ON DATABASE {} TO pipeline_loader, pipeline_reader",
            "GRANT TEMPORARY ON DATABASE {} TO pipeline_loader",
        ):
            admin.execute(sql.SQL(grant).format(sql.Identifier(database)))
        _set_password(admin, "pipeline_loader", passwords["loader"])
        _set_password(admin, "pipeline_reader", passwords["reader"])
        with psycopg.connect(admin_conninfo, autocommit=True) as target_admin:
            target_admin.execute(query("bootstrap/restrict_public"))


def create_database(admin_conninfo: str, database: str, *, owner: str, password: str) -> None:
    """Create a database and its owner as far as they are missing, and set the owner's password. The database stays empty."""
    with psycopg.connect(admin_conninfo, dbname="postgres", autocommit=True) as admin:
        _create(admin, database, owner, password, "LOGIN")


def _refuse_equal_versions(folders: Sequence[Path]) -> None:
    """Raise PluginError for two files of the same version, because dbmate would apply only one of them."""
    known: dict[str, Path] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.sql"))):
        version = path.name.partition("_")[0]
        first = known.setdefault(version, path)
        if first != path:
            raise PluginError(
                f"two migrations have the version {version}: {first} and {path}. Give the newer file a later time in its name."
            )


def _create(
    admin: psycopg.Connection, database: str, owner: str, password: str, options: Literal["LOGIN", "LOGIN CREATEROLE"]
) -> None:
    name = sql.Identifier(owner)
    if admin.execute("SELECT FROM pg_roles WHERE rolname = %s", (owner,)).fetchone() is None:
        admin.execute(sql.SQL("CREATE ROLE {} {}").format(name, sql.SQL(options)))
    _set_password(admin, owner, password)
    if admin.execute("SELECT FROM pg_database WHERE datname = %s", (database,)).fetchone() is None:
        admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))  # a master user that is no superuser needs it
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), name))
    # Otherwise each role of the server could connect to the database.
    admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))


def _set_password(admin: psycopg.Connection, role: str, password: str) -> None:
    # Hashed on this side, so that the server's log never holds it.
    admin.pgconn.change_password(role.encode(), password.encode())


def _dbmate_up(host: str, port: str, database: str, password: str, folders: Sequence[Path]) -> None:
    url = (
        f"postgres://pipeline_owner:{quote(password, safe='')}@{host}:{port}/{quote(database, safe='')}?sslmode=prefer"
    )
    done = subprocess.run(  # noqa: S603 our own argument list
        [
            Path(sysconfig.get_path("scripts")) / "dbmate",
            "--no-dump-schema",
            # It applies the files of all folders in the order of their names.
            *(f"--migrations-dir={folder}" for folder in folders),
            "migrate",
        ],
        env={"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Permanent(f"migrating {database} failed: {done.stderr.strip().replace(password, '***')}")
