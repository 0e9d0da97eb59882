"""A real PostgreSQL for tests: `database` is a fresh, migrated database for one test, in a server all workers share."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql

from pipeline_project.canonical.migrations import migrate
from pipeline_project.database import Database, Role
from pipeline_project.local.postgres import PostgresServer
from pipeline_project_tests.shared_postgres import exclusive, joined

TEMPLATE = "migrated"
ROLES: tuple[Role, ...] = ("owner", "loader", "reader")
ADVISORY_LOCKS = """pg_locks WHERE locktype = 'advisory'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
"""Advisory locks of one database. The server has those of all databases, also of tests that run at the same time."""


@dataclass(frozen=True)
class SharedServer:
    """The session's server; `passwords` are those of the three roles."""

    server: PostgresServer
    password: str
    passwords: dict[Role, str]

    def admin(self, dbname: str = "postgres") -> str:
        """A superuser's connection string."""
        return self.server.conninfo(self.password, dbname=dbname)

    def conninfo(self, role: Role, dbname: str) -> str:
        return self.server.conninfo(self.passwords[role], dbname=dbname, user=f"pipeline_{role}")


@dataclass(frozen=True)
class FreshDatabase:
    """A database of one test's own. `admin` is a superuser's connection string."""

    name: str
    server: SharedServer
    admin: str
    owner: Database
    loader: Database
    reader: Database

    def secret(self, role: Role) -> str:
        """What Secrets Manager would hold for this role."""
        server = self.server.server
        login = {"username": f"pipeline_{role}", "password": self.server.passwords[role]}
        return json.dumps(
            {"host": "127.0.0.1", "port": server.port, "dbname": self.name, **login, "sslmode": "disable"}
        )


@pytest.fixture(scope="session")
def postgres(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Iterator[SharedServer]:
    """The server, with the migrated template that `database` clones."""
    folder = pytestconfig.getoption("servers") or tmp_path_factory.getbasetemp()
    if worker_id != "master":
        folder = folder.parent  # xdist gives each worker a folder below the session's
    folder /= "postgres"
    with joined(folder) as (server, password):
        with exclusive(folder / "template.lock"):
            credentials = folder / "data" / "passwords.json"  # lives and dies with the server
            if credentials.exists():
                shared = SharedServer(server, password, json.loads(credentials.read_text("utf-8")))
            else:
                passwords: dict[Role, str] = {role: secrets.token_urlsafe(16) for role in ROLES}
                shared = SharedServer(server, password, passwords)
                _make_template(shared)
                credentials.touch(mode=0o600)
                credentials.write_text(json.dumps(passwords), "utf-8")
        yield shared


def _make_template(shared: SharedServer) -> None:
    migrate(shared.admin(TEMPLATE), shared.passwords)
    with psycopg.connect(shared.admin(), autocommit=True) as connection:
        # A database that somebody is connected to cannot be cloned.
        connection.execute(
            sql.SQL("ALTER DATABASE {} IS_TEMPLATE true ALLOW_CONNECTIONS false").format(sql.Identifier(TEMPLATE))
        )


@pytest.fixture
def database(postgres: SharedServer) -> Iterator[FreshDatabase]:
    """A fresh, migrated, empty database; dropped at the end, whoever is still connected."""
    with new_database(postgres) as fresh:
        yield fresh


@contextmanager
def new_database(postgres: SharedServer) -> Iterator[FreshDatabase]:
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres.admin(), autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER pipeline_owner TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(TEMPLATE)
            )
        )
        owner, loader, reader = (
            Database(lambda role=role: postgres.conninfo(role, name), f"pipeline-{role}") for role in ROLES
        )
        try:
            yield FreshDatabase(name, postgres, postgres.admin(name), owner, loader, reader)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
