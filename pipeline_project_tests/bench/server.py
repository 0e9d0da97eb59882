"""A PostgreSQL of a benchmark's own, as durable as the local stack's, with as many migrated databases as it needs."""

import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pipeline_project.canonical.migrations import migrate
from pipeline_project.database import Database, Role
from pipeline_project.local.postgres import PostgresServer, free_port, wheel_binaries

ROLES: tuple[Role, ...] = ("owner", "loader", "reader")


class BenchServer:
    """A running server. Its databases are named by the caller."""

    def __init__(self, server: PostgresServer, password: str) -> None:
        self._server = server
        self._password = password
        self._passwords: dict[Role, str] = {role: secrets.token_urlsafe(12) for role in ROLES}

    def create(self, name: str) -> None:
        """A migrated, empty database."""
        migrate(self._server.conninfo(self._password, dbname=name), self._passwords)

    def drop(self, name: str) -> None:
        with psycopg.connect(self._server.conninfo(self._password), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def conninfo(self, name: str, role: Role) -> str:
        """With no `application_name` of its own."""
        login = {"user": f"pipeline_{role}", "password": self._passwords[role]}
        return make_conninfo(self._server.conninfo(self._password, dbname=name), **login)

    def database(self, name: str, role: Role) -> Database:
        return Database(lambda: self.conninfo(name, role))

    def admin(self, name: str, statement: str) -> list[tuple[object, ...]]:
        """Run a statement as superuser, outside of a transaction."""
        with psycopg.connect(self._server.conninfo(self._password, dbname=name), autocommit=True) as admin:
            cursor = admin.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def settle(self, name: str) -> None:
        """Let nothing of the last case be left to do while the next is measured."""
        self.admin(name, "VACUUM ANALYZE")
        self.admin(name, "CHECKPOINT")

    def psql(self, name: str, role: Role, script: Path) -> float:
        """Seconds that psql takes for a script, its start included."""
        begin = time.perf_counter()
        subprocess.run(
            [self._server.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, self.conninfo(name, role)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - begin


@contextmanager
def server() -> Iterator[BenchServer]:
    """A server in a temporary folder, stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        postgres = PostgresServer(wheel_binaries(), path / "data", free_port())
        password = secrets.token_urlsafe(12)
        postgres.initialise(password)
        with (path / "log").open("wb") as log:
            process = subprocess.Popen(postgres.command({"max_wal_size": "4GB"}), stdout=log, stderr=log)
            try:
                while not postgres.is_ready(password):
                    if process.poll() is not None:
                        raise RuntimeError((path / "log").read_text("utf-8"))
                    time.sleep(0.05)
                yield BenchServer(postgres, password)
            finally:
                process.terminate()
                process.wait()
