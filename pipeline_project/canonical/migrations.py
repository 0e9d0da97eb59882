"""Brings a database to the current schema: bootstrap (owner role, database, passwords), then the files of sql/migrations
with dbmate, which keeps its own record of what was applied (public.schema_migrations) and runs each file in a transaction.
"""

import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pipeline_project.canonical.sql_files import SQL, query
from pipeline_project.database import Role
from pipeline_project.errors import Permanent

MIGRATIONS = SQL / "migrations"
# Any constant will do: two migrations of one database at a time wait for each other (dbmate itself takes no lock).
MIGRATION_LOCK = 7_041_776


def migrate(admin_conninfo: str, passwords: Mapping[Role, str]) -> None:
    """Create what is missing of owner role, database and schema; set the passwords of the three roles.

    `admin_conninfo` names the target database and a user who may create roles and databases (RDS' master user may).
    Repeating it changes nothing. Raises Permanent with dbmate's message when a migration fails.
    """
    target = conninfo_to_dict(admin_conninfo)
    database = str(target["dbname"])
    with psycopg.connect(admin_conninfo, dbname="postgres", autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))  # held until the connection closes
        if admin.execute("SELECT FROM pg_roles WHERE rolname = 'pipeline_owner'").fetchone() is None:
            admin.execute("CREATE ROLE pipeline_owner LOGIN CREATEROLE")
        _set_password(admin, "pipeline_owner", passwords["owner"])
        if admin.execute("SELECT FROM pg_database WHERE datname = %s", (database,)).fetchone() is None:
            admin.execute("GRANT pipeline_owner TO CURRENT_USER")
            admin.execute(sql.SQL("CREATE DATABASE {} OWNER pipeline_owner").format(sql.Identifier(database)))
        _dbmate_up(str(target["host"]), str(target["port"]), database, passwords["owner"])
        _set_password(admin, "pipeline_loader", passwords["loader"])
        _set_password(admin, "pipeline_reader", passwords["reader"])
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        admin.execute(query("bootstrap/restrict_public"))


def _set_password(admin: psycopg.Connection, role: str, password: str) -> None:
    # Hashed on this side, so that the server's log never holds it.
    admin.pgconn.change_password(role.encode(), password.encode())


def _dbmate_up(host: str, port: str, database: str, password: str) -> None:
    url = (
        f"postgres://pipeline_owner:{quote(password, safe='')}@{host}:{port}/{quote(database, safe='')}?sslmode=prefer"
    )
    done = subprocess.run(  # noqa: S603 our own argument list
        [
            Path(sysconfig.get_path("scripts")) / "dbmate",
            "--no-dump-schema",
            "--migrations-dir",
            MIGRATIONS,
            "migrate",
        ],
        env={"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Permanent(f"migrating {database} failed: {done.stderr.strip().replace(password, '***')}")
