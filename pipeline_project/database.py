"""psycopg 3 connections: one factory for three roles, with logins from Secrets Manager.

Roles are the first line of security (sql/migrations): `owner` migrates, `loader` ingests, `reader` sees only the
`analytics` schema.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal, Self

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from pipeline_project.errors import Transient
from pipeline_project.settings import Settings

Role = Literal["owner", "loader", "reader"]
Connection = psycopg.Connection[tuple[Any, ...]]

LOGIN_FIELDS = ("host", "port", "dbname", "username", "password")
READ_ONLY = "-c default_transaction_read_only=on"
"""Option of the reader's sessions. It is no setting of the role, because the rotation logs in as the role and writes."""
REFUSED = "password authentication failed"
ROTATION_PAUSES = (0.0, 0.25, 0.75, 1.5, 2.5)
"""Seconds between the tries to log in. A rotation changes password and secret one after the other, so they differ for a moment.
Each try reads the secret again."""

# The server starts, stops, is full or is gone, or two transactions met. All of these end by themselves.
TRANSIENT_SQLSTATES = ("08", "40", "53", "57P", "55P03")


class Database:
    """Connections of one role. Making a Database opens no connection. Safe to share between threads."""

    def __init__(self, conninfo: Callable[[], str], application_name: str = "pipeline") -> None:
        """Make a database. `conninfo` gives a libpq connection string. It is called again if the server refuses the password."""
        self._source = conninfo
        self._application_name = application_name
        self._lock = threading.Lock()
        self._conninfo: str | None = None

    @classmethod
    def from_settings(cls, settings: Settings, role: Role, secrets: Any) -> Self:
        """Make the database of a role. `secrets` is a boto3 client of Secrets Manager."""
        name = role_secrets(settings)[role]
        options = READ_ONLY if role == "reader" else None

        def conninfo() -> str:
            return make_conninfo(login_conninfo(login(secrets, name)), options=options)

        return cls(conninfo, application_name=f"pipeline-{role}")

    @classmethod
    def of_dagster(cls, settings: Settings, secrets: Any) -> Self:
        """Make Dagster's own database, which holds no data of the platform."""
        return cls(lambda: login_conninfo(login(secrets, settings.dagster_secret)), application_name="dagster")

    def conninfo(self, *, refresh: bool = False) -> str:
        """Give the connection string. It is cached; `refresh` reads the secret again, after a rotation."""
        with self._lock:
            if self._conninfo is None or refresh:
                self._conninfo = make_conninfo(
                    self._source(), application_name=self._application_name, connect_timeout=5
                )
            return self._conninfo

    def open(self, *, autocommit: bool = False) -> Connection:
        """Open a connection that the caller closes. Transient if the server is away."""
        for attempt in range(len(ROTATION_PAUSES) + 1):
            try:
                return psycopg.connect(self.conninfo(refresh=attempt > 0), autocommit=autocommit)
            except psycopg.OperationalError as error:
                if REFUSED not in str(error):
                    raise Transient("PostgreSQL cannot be reached; it is tried again") from error
                if attempt == len(ROTATION_PAUSES):
                    raise Transient(f"PostgreSQL refuses the password of {self._application_name}") from error
            time.sleep(ROTATION_PAUSES[attempt])
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def connect(self, *, autocommit: bool = False) -> Iterator[Connection]:
        """Open a connection for a block. It is committed if the block succeeds, and closed. Transient if the server is away."""
        with self.open(autocommit=autocommit) as connection:
            yield connection

    def close(self) -> None:
        """Close what is kept open: nothing, unless the database keeps its connection."""


class KeptDatabase(Database):
    """A database whose connection outlives the request: opening one costs 10 ms, and a Lambda has one request at a time."""

    _kept: Connection | None = None

    @contextmanager
    def connect(self, *, autocommit: bool = False) -> Iterator[Connection]:
        """Give the kept connection if it still works, or a new one. It is rolled back at the end and left open."""
        connection, self._kept = self._kept, None
        if connection is None or not _works(connection):
            connection = self.open()
        connection.autocommit = autocommit
        try:
            yield connection
        finally:
            with suppress(psycopg.Error):
                connection.rollback()
            if connection.info.transaction_status is TransactionStatus.IDLE and self._kept is None:
                self._kept = connection
            else:
                connection.close()

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()


def _works(connection: Connection) -> bool:
    """Ask the server for an empty answer. A server that was restarted, or a thawed Lambda, shows only on use."""
    try:
        connection.autocommit = True
        connection.execute("")
    except psycopg.Error:
        connection.close()
        return False
    return True


def role_secrets(settings: Settings) -> dict[Role, str]:
    """Give the name of the secret with the login, by role."""
    return {"owner": settings.owner_secret, "loader": settings.loader_secret, "reader": settings.reader_secret}


def login(secrets: Any, name: str) -> dict[str, Any]:
    """Read host, database and login from a secret. Transient says what is wrong with the secret."""
    try:
        text = secrets.get_secret_value(SecretId=name)["SecretString"]
    except secrets.exceptions.ResourceNotFoundException as error:
        raise Transient(f"the secret {name} does not exist, or has no value") from error
    try:
        found = json.loads(text)
        missing = [field for field in LOGIN_FIELDS if field not in found]
    except (ValueError, TypeError):
        raise Transient(f"the secret {name} is not a JSON object") from None
    if missing:
        raise Transient(f"the secret {name} lacks {', '.join(missing)}")
    return found


def login_conninfo(found: Mapping[str, Any]) -> str:
    """Give libpq's connection string for a login."""
    return make_conninfo(
        host=found["host"],
        port=found["port"],
        dbname=found["dbname"],
        user=found["username"],
        password=found["password"],
        sslmode=found.get("sslmode", "prefer"),
    )


def is_transient(error: BaseException) -> bool:
    """Tell whether the same work may succeed on another try: connection lost, deadlock, server full or restarting."""
    if isinstance(error, Transient):
        return True
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(TRANSIENT_SQLSTATES)
