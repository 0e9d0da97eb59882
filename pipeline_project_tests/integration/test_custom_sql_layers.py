"""Each layer around custom SQL alone, against the whole list of attacks. docs/custom-sql.md shows what each layer stops.

The server is the test's own: the attacks run as a superuser where the role is switched off.
"""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from pipeline_project.analytics import allowed, execution, guard
from pipeline_project.analytics.catalogue import operation
from pipeline_project.analytics.execution import execute
from pipeline_project.analytics.failures import TOO_MUCH_MEMORY, QueryRefused, QueryTimedOut, decision
from pipeline_project.analytics.parameters import CustomComplexQuery
from pipeline_project.canonical import migrations
from pipeline_project.database import Database, Role
from pipeline_project.errors import PipelineError
from pipeline_project.local.postgres import PostgresServer, wheel_binaries
from pipeline_project_tests.analytics_rows import entity, insert
from pipeline_project_tests.custom_sql_corpus import sections
from pipeline_project_tests.shared_postgres import start

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "custom-sql.md"
CUSTOM = operation("custom_complex_query")
TIMEOUT_SECONDS = 1.0
TOO_LONG_OR_LARGE = {TOO_MUCH_MEMORY, *(decision(state).message for state in ("53400", "54000"))}
ATTACKS, BOUNDED = sections("attacks"), sections("bounded")
# A role may set its own password. The role of people's queries cannot log in, so its password is left out.
FINGERPRINT = """
    SELECT (SELECT array_agg(t::text ORDER BY entity_id) FROM canonical.entities t),
           (SELECT last_value FROM canonical.entities_entity_id_seq),
           (SELECT count(*) FROM pg_class WHERE relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_')),
           (SELECT array_agg(t::text ORDER BY oid) FROM pg_authid t WHERE rolname <> 'pipeline_analyst'),
           (SELECT array_agg(t::text ORDER BY t) FROM pg_auth_members t),
           (SELECT array_agg(t::text ORDER BY t) FROM pg_db_role_setting t), current_setting('fsync')
    """

Outcome = str
"""`refused`, `limited` (too long or too large), or `ran`."""


class Server(NamedTuple):
    """`local` was migrated by a superuser, `managed` by an administrator who is none, as on RDS."""

    server: PostgresServer
    password: str
    passwords: dict[Role, str]

    def admin(self, database: str) -> Database:
        return Database(lambda: self.server.conninfo(self.password, dbname=database))

    def reader(self, database: str) -> str:
        return self.server.conninfo(self.passwords["reader"], dbname=database, user="pipeline_reader")

    def fingerprint(self, database: str) -> Any:
        with self.admin(database).connect() as connection:
            return connection.execute(FINGERPRINT.encode()).fetchone()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("layers") / "data"
    process, port, password = start(data, wheel_binaries())
    try:
        passwords: dict[Role, str] = {role: secrets.token_urlsafe(12) for role in ("owner", "loader", "reader")}
        found = Server(PostgresServer(wheel_binaries(), data, port), password, passwords)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(migrations, "query", lambda _: b"SELECT 'an administrator without the right to restrict'")
            migrations.migrate(found.admin("managed").conninfo(), passwords)
        migrations.migrate(found.admin("local").conninfo(), passwords)
        for database in ("local", "managed"):
            insert(found.admin(database), "entities", [entity(f"crm_{n}", revenue=n) for n in range(20)])
        yield found
    finally:
        process.kill()
        process.wait()


def stated() -> dict[str, list[str]]:
    """The table in the page: the kind of attack, and per layer whether it stops all, some or none."""
    rows = re.findall(r"^\| (.+?) \| ((?:(?:all|some|none) \| ?)+)$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {kind: cells.replace(" ", "").rstrip("|").split("|") for kind, cells in rows}


def share(outcomes: list[Outcome], wanted: Outcome) -> str:
    count = outcomes.count(wanted)
    return "all" if count == len(outcomes) else "some" if count else "none"


def compare(column: int, kinds: dict[str, list[str]], outcome: Callable[[str], Outcome], wanted: Outcome) -> None:
    """Compare a column of the page with what happens."""
    found = {kind: share([outcome(query) for query in queries], wanted) for kind, queries in kinds.items()}
    assert {kind: cells[column] for kind, cells in stated().items()} == {**dict.fromkeys(BOUNDED, "none"), **found}


def by_guard(query: str) -> Outcome:
    with suppress(QueryRefused):
        guard.check(query)
        return "ran"
    return "refused"


def by_cursor(server: Server, query: str) -> Outcome:
    """The guard is off and the session is a superuser's, so that only the cursor, its transaction and the limits are left."""
    unjudged = CustomComplexQuery.model_construct(query=query, params=[])
    try:
        with execute(server.admin("local"), CUSTOM, unjudged, timeout_seconds=TIMEOUT_SECONDS) as rows:
            list(rows)
    except QueryTimedOut:
        return "limited"
    except PipelineError as error:
        return "limited" if str(error) in TOO_LONG_OR_LARGE else "refused"
    return "ran"


def by_role(server: Server, database: str, query: str) -> Outcome:
    """Neither guard nor cursor nor read-only transaction: the statement is sent as it is."""
    with psycopg.connect(server.reader(database), autocommit=True) as connection:
        connection.execute("SET ROLE pipeline_analyst")
        connection.execute("SET statement_timeout = '300ms'")
        connection.execute("SET search_path = analytics, extensions")
        try:
            connection.execute(query.encode())
        except psycopg.Error as error:
            return "limited" if (error.sqlstate or "")[:2] in ("53", "54", "57") else "refused"
    return "ran"


def test_the_guard_alone() -> None:
    compare(0, ATTACKS | BOUNDED, by_guard, "refused")


@pytest.fixture
def without_guard_and_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "check", lambda query, params: guard.Judged(query, lasting=True))
    monkeypatch.setattr(execution, "ANALYST", execution.THE_LOGIN)


@pytest.mark.usefixtures("without_guard_and_role")
def test_the_cursor_and_the_limits_alone(server: Server) -> None:
    before = server.fingerprint("local")
    kinds = ATTACKS | BOUNDED
    outcomes = {query: by_cursor(server, query) for queries in kinds.values() for query in queries}
    compare(1, kinds, outcomes.__getitem__, "refused")
    compare(4, kinds, outcomes.__getitem__, "limited")
    assert server.fingerprint("local") == before


@pytest.mark.parametrize(("column", "database"), [(2, "local"), (3, "managed")])
def test_the_role_alone(server: Server, column: int, database: str) -> None:
    """What takes long or gives much is left out: a role bounds neither."""
    before = server.fingerprint(database)
    compare(column, ATTACKS, lambda query: by_role(server, database, query), "refused")
    assert server.fingerprint(database) == before


RETURN_TO_THE_LOGIN = "RESET ROLE; ALTER ROLE pipeline_reader PASSWORD 'changed'"


@pytest.mark.usefixtures("without_guard_and_role")
def test_the_cursor_stops_what_the_role_does_not(server: Server) -> None:
    """A second statement could become the login again, which may change its own password as each login may."""
    before = server.fingerprint("local")
    assert by_cursor(server, RETURN_TO_THE_LOGIN) == "refused"
    assert server.fingerprint("local") == before


def test_the_role_may_do_what_the_guard_lets_through(server: Server) -> None:
    with server.admin("local").connect() as connection:
        refused = connection.execute(
            "SELECT DISTINCT proname FROM pg_proc"
            " WHERE pronamespace IN ('pg_catalog'::regnamespace, 'extensions'::regnamespace, 'analytics'::regnamespace)"
            " AND proname = ANY (%s) AND NOT has_function_privilege('pipeline_analyst', oid, 'EXECUTE')",
            (list(allowed.FUNCTIONS),),
        ).fetchall()
    assert refused == []


@pytest.mark.parametrize("database", ["postgres", "template1"])
def test_the_reader_can_connect_to_no_other_database(server: Server, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(server.reader(database))
