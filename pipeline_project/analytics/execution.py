"""Runs an operation in a session of `pipeline_reader` and yields its rows in batches.

Each operation reads a read-only snapshot, which is rolled back. Afterwards the state of the session is discarded. Lambda, jobs
and command line use this module, so it imports no pandas, Dagster or boto3.

Statements of the platform are streamed (libpq's chunked mode), because PostgreSQL makes no parallel plan for a cursor. A
statement of a person runs through a named cursor. A cursor accepts exactly one SELECT, even if the guard missed something.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain, islice
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg import IsolationLevel, RawServerCursor, ServerCursor
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.postgres import types as postgres_types
from psycopg.pq.abc import PGresult

from pipeline_project.analytics.catalogue import InvalidParameters, Operation
from pipeline_project.analytics.failures import QUERY_CANCELED, TIMED_OUT, QueryFailed, QueryTimedOut, translated
from pipeline_project.analytics.parameters import CustomComplexQuery, Parameters
from pipeline_project.database import Connection, Database
from pipeline_project.schema.sql_files import query

BATCH_ROWS = 1_000
FETCH_ROWS = 200
"""Rows of a person's statement in one round trip. A row has at most 256 KB, so they have at most 51 MB as they are sent."""
SLICE_BYTES = 1024 * 1024
"""Bytes that become Python objects at a time, as they are sent. An array of numbers takes fifty times as much as objects."""
CURSOR = "statement"
FETCH = f'FETCH FORWARD {FETCH_ROWS} FROM "{CURSOR}"'.encode()
LOCK_TIMEOUT_SECONDS = 5
ANALYST = "pipeline_analyst"
"""The role that a person's statement runs as. The role has no login, so it has no password either."""
THE_LOGIN = "none"
"""PostgreSQL's name for the role that logged in."""
WATCHDOG_SECONDS = 2
"""Seconds after the timeout of the server at which the client cancels. A statement may have turned off the server's timeout."""
SEARCH_PATH = "pg_catalog, analytics, extensions"
BOUNDED_SEARCH_PATH = f"bounded, {SEARCH_PATH}"
"""For a person's statement: the functions of `bounded` come before those of PostgreSQL with the same name and arguments."""
NUMBER_HOLDERS = {"numeric", "numrange", "nummultirange", "jsonb", "jsonpath", "record"}
"""Types of PostgreSQL whose values, or arrays of them, can be short as stored and long as text."""
FEW_COLUMNS = 100
"""Number of columns up to which single numbers have at most 15 MB of text."""
NUMBERS = {"smallint", "integer", "bigint", "numeric", "real", "double precision"}

Row = tuple[Any, ...]


class Column(msgspec.Struct, frozen=True):
    """A column of a result. `type` is PostgreSQL's name for it."""

    name: str
    type: str

    @property
    def is_number(self) -> bool:
        return self.type.partition("(")[0] in NUMBERS


class Versions(NamedTuple):
    """Versions of the database. Each load that changes a row raises `data` in its own transaction. `schema` is the latest
    migration."""

    data: int
    schema: str


class Rows:
    """A result that is being read. Iterate over its batches once. A JSON value is a `msgspec.Raw`."""

    def __init__(
        self,
        *,
        operation: str,
        parameters: Parameters,
        versions: Versions,
        columns: Sequence[Column],
        batches: Iterator[list[Row]],
        row_limit: int | None = None,
    ) -> None:
        self.operation = operation
        self.parameters = parameters
        self.versions = versions
        """Versions of the snapshot that the rows are read from."""
        self.columns = list(columns)
        self.truncated = False
        """True if `row_limit` left out rows. It is known after the last batch."""
        self._batches = batches
        self._row_limit = row_limit

    @property
    def data_version(self) -> int:
        return self.versions.data

    def keep_first(self, most: int) -> list[Row]:
        """Return a list that receives the first rows while they are read. Call this before the first batch."""
        first: list[Row] = []
        read = self._batches

        def batches() -> Iterator[list[Row]]:
            for batch in read:
                first.extend(batch[: most - len(first)])
                yield batch

        self._batches = batches()
        return first

    def __iter__(self) -> Iterator[list[Row]]:
        left = self._row_limit
        for batch in self._batches:
            if left is None:
                yield batch
                continue
            if len(batch) > left:
                self.truncated = True
                if left:
                    yield batch[:left]
                return
            left -= len(batch)
            yield batch


Reading = tuple[list[Column], Iterator[list[Row]]]


class _RawJson(Loader):
    """Loader that passes JSON as it is stored, because parsing would turn its numbers into floats.

    The encoders promise one line for each row. A line end in JSON can only be between its tokens, so a space can replace it.
    """

    def load(self, data: Buffer) -> msgspec.Raw:
        return msgspec.Raw(bytes(data).replace(b"\n", b" ").replace(b"\r", b" "))


@contextmanager
def execute(
    database: Database,
    operation: Operation,
    parameters: Parameters,
    *,
    timeout_seconds: float,
    row_limit: int | None = None,
    on_backend: Callable[[int], None] | None = None,
) -> Iterator[Rows]:
    """Yield the rows of an operation. `parameters` come from `operation.validate`. `on_backend` receives the pid of the backend.

    Raises the errors of failures.py, on entry and while the rows are read. They contain no text of the database.
    """
    with database.connect() as connection:
        if on_backend:
            on_backend(connection.info.backend_pid)
        deadline = time.monotonic() + timeout_seconds
        watchdog = threading.Timer(timeout_seconds + WATCHDOG_SECONDS, _cancel, (connection,))
        watchdog.daemon = True
        watchdog.start()
        try:
            is_custom = isinstance(parameters, CustomComplexQuery)
            role, search_path = (ANALYST, BOUNDED_SEARCH_PATH) if is_custom else (THE_LOGIN, SEARCH_PATH)
            nested_loops = operation.nested_loops
            versions = _begin(
                connection, timeout_seconds, role=role, search_path=search_path, nested_loops=nested_loops
            )
            read = _fetch if is_custom else _stream
            with read(connection, operation, parameters) as (columns, batches):
                yield Rows(
                    operation=operation.name,
                    parameters=parameters,
                    versions=versions,
                    columns=columns,
                    batches=_until(deadline, batches),
                    row_limit=row_limit,
                )
        except psycopg.Error as error:
            raise translated(error, timed_out=time.monotonic() >= deadline) from None
        finally:
            watchdog.cancel()
            _leave_clean(connection)


def versions(database: Database) -> Versions:
    """Return the versions of this moment."""
    with database.connect(autocommit=True) as connection:
        try:
            row = connection.execute(query("analytics/versions")).fetchone()
        except psycopg.Error as error:
            raise translated(error, timed_out=False) from None
    assert row is not None  # noqa: S101 an aggregate without GROUP BY always gives a row
    return Versions(*row)


def _begin(
    connection: Connection, timeout_seconds: float, *, role: str, search_path: str, nested_loops: bool
) -> Versions:
    """Begin the read-only snapshot with its role and limits. Return the versions that it shows."""
    connection.read_only = True
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    limits = {
        "role": role,
        "statement_ms": int(timeout_seconds * 1000),
        "transaction_ms": int((timeout_seconds + 2 * WATCHDOG_SECONDS) * 1000),
        "lock_ms": LOCK_TIMEOUT_SECONDS * 1000,
        "search_path": search_path,
        "nested_loops": "on" if nested_loops else "off",
    }
    try:
        row = connection.execute(query("analytics/limits"), limits).fetchone()
    except psycopg.DataError:
        # The caller's query has not begun, so it is not at fault.
        raise QueryFailed(f"the database does not know the role {role}: run pipeline migrate") from None
    assert row is not None  # noqa: S101 a SELECT without FROM always gives a row
    return Versions(*row[-2:])


@contextmanager
def _stream(connection: Connection, operation: Operation, parameters: Parameters) -> Iterator[Reading]:
    """Stream the rows of a statement of the platform."""
    statement, arguments = operation.statement, parameters.as_json()
    field = operation.must_exist
    named = arguments[field] if field and field in parameters.model_fields_set else None
    if isinstance(named, list):
        _refuse_unknown(connection, operation, named)
    with connection.cursor() as cursor:
        _pass_json_through(cursor)
        # A stream that was not read to its end holds the lock of the connection. The rollback would wait for ever.
        rows: Any = cursor.stream(statement, arguments, size=BATCH_ROWS)
        with closing(rows) as stream:
            if first := list(islice(stream, BATCH_ROWS)):
                yield _columns(cursor), chain([first], iter(lambda: list(islice(stream, BATCH_ROWS)), []))
                return
    if isinstance(named, str):
        _refuse_unknown(connection, operation, named)
    # A stream without rows does not show its columns. A cursor shows them without running the statement.
    with ServerCursor(connection, CURSOR) as described:
        described.execute(statement, arguments)
        yield _columns(described), iter(())


def _refuse_unknown(connection: Connection, operation: Operation, named: str | list[str]) -> None:
    """Raise InvalidParameters for a name that gave no rows. In a list, only unknown names count.

    If the database has nothing that could be named, nothing is raised.
    """
    message = "names nothing that is there"
    if operation.known_statement:
        known = [name for (name,) in connection.execute(operation.known_statement)]
        if not known:
            return
        if isinstance(named, list):
            unknown = [name for name in named if name not in known]
            if not unknown:
                return
            message += f": {', '.join(unknown)}"
        message += f"; there are {', '.join(known)}"
    errors = [{"field": str(operation.must_exist), "rule": "exists", "message": message}]
    raise InvalidParameters(operation.name, errors)


@contextmanager
def _fetch(connection: Connection, operation: Operation, parameters: Parameters) -> Iterator[Reading]:
    """Fetch the rows of a person's statement. The guard judges it again, because not every caller has validated it."""
    from pipeline_project.analytics.guard import check  # noqa: PLC0415 a large library that other operations do without

    assert isinstance(parameters, CustomComplexQuery)  # noqa: S101
    statement = check(parameters.query, parameters.params).statement
    head, marker, tail = query(f"analytics/{operation.sql}").partition(b"/* statement */")
    wrapped = head + marker + statement.encode()
    with RawServerCursor(connection, CURSOR) as cursor:
        _pass_json_through(cursor)
        try:
            cursor.execute(wrapped + tail, parameters.params)
            columns = _columns(cursor)
            # Only the declared cursor shows the types of its columns. A cursor that was not read has computed no row.
            if checked := _with_checked_numbers(tail, cursor.description or []):
                cursor.execute(wrapped + checked, parameters.params)
        except psycopg.Error as error:
            # If the guard rewrote the text, positions in the two texts differ.
            prefix = len((head + marker).decode()) if statement in parameters.query else None
            raise _located(error, prefix) from None
        yield columns, _slices(connection)


def _with_checked_numbers(tail: bytes, described: Sequence[psycopg.Column]) -> bytes | None:
    """Fill the markers of the template so that numbers are counted before they become text. None if no column needs it."""
    names = [f"column_{number}" for number in range(len(described))]
    is_wide = len(described) > FEW_COLUMNS
    checked = [name for name, column in zip(names, described, strict=True) if _holds_numbers(column, is_wide=is_wide)]
    if not checked:
        return None
    sizes = "".join(f"+ analytics.least_bytes({name})" for name in checked)
    return tail.replace(b"/* columns */", f"({', '.join(names)})".encode()).replace(
        b"/* least_bytes */", sizes.encode()
    )


def _holds_numbers(column: psycopg.Column, *, is_wide: bool) -> bool:
    """Check whether a value can hold several numbers of any length. In a wide row, one number in each column counts, too."""
    info = postgres_types.get(column.type_code)
    if info is None:
        return True
    is_single = column.type_code == info.oid and info.name in ("numeric", "numrange")
    return info.name in NUMBER_HOLDERS and (is_wide or not is_single)


def _slices(connection: Connection) -> Iterator[list[Row]]:
    """Fetch the rows of the named cursor. Yield them in slices of bounded size."""
    # Not the server cursor's own fetch, which turns all fetched rows into objects at once.
    with connection.cursor() as cursor:
        _pass_json_through(cursor)
        while True:
            cursor.execute(FETCH, prepare=False)
            result = cursor.pgresult
            if result is None or not result.ntuples:
                return
            for count in _slice_lengths(result):
                yield cursor.fetchmany(count)


def _slice_lengths(result: PGresult) -> Iterator[int]:
    """Yield the number of rows in each slice: as many as fit into SLICE_BYTES, but at least one."""
    # A type of fixed size, for example a time, is also short as text.
    columns = [column for column in range(result.nfields) if result.fsize(column) < 0]
    rows = size = 0
    for row in range(result.ntuples):
        wide = sum([len(result.get_value(row, column) or b"") for column in columns])
        if rows and size + wide > SLICE_BYTES:
            yield rows
            rows = size = 0
        rows += 1
        size += wide
    yield rows


def _located(error: psycopg.Error, prefix: int | None) -> Exception:
    """Return the error of a person's statement, with its position in the statement unless `prefix` is None."""
    place = 0
    if prefix is not None:
        place = int(error.diag.statement_position or 0) - len(f'DECLARE "{CURSOR}" CURSOR FOR ') - prefix
    return translated(error, timed_out=error.sqlstate == QUERY_CANCELED, position=place if place > 0 else None)


def _until(deadline: float, batches: Iterator[list[Row]]) -> Iterator[list[Row]]:
    for batch in batches:
        if time.monotonic() > deadline:
            raise QueryTimedOut(TIMED_OUT)
        yield batch


def _columns(cursor: psycopg.Cursor[Row]) -> list[Column]:
    """Return the columns. Equal names get numbers (`count`, `count_2`), because a row can become a JSON object."""
    columns: dict[str, Column] = {}
    for described in cursor.description or ():
        name, n = described.name, 1
        while name in columns:
            n += 1
            name = f"{described.name}_{n}"
        columns[name] = Column(name, _type_name(described))
    return list(columns.values())


def _type_name(described: psycopg.Column) -> str:
    info = postgres_types.get(described.type_code)
    if info is None:
        return "text"  # psycopg also returns values of unknown types as text
    name = info.regtype
    if described.type_code == info.array_oid:
        return f"{name}[]"
    if name == "numeric" and described.precision:
        return f"numeric({described.precision},{described.scale or 0})"
    return name


def _pass_json_through(cursor: psycopg.Cursor[Row]) -> None:
    for name in ("json", "jsonb"):
        cursor.adapters.register_loader(name, _RawJson)


def _cancel(connection: Connection) -> None:
    with suppress(psycopg.Error):
        connection.cancel_safe(timeout=WATCHDOG_SECONDS)


def _leave_clean(connection: Connection) -> None:
    """End the transaction, and discard settings, locks, cursors and temporary tables of the query."""
    with suppress(psycopg.Error):
        connection.rollback()
        connection.autocommit = True
        connection.execute("DISCARD ALL")
