"""Custom SQL on a real database: each attack against the role alone (guard off, in a session that may write) and against the
whole, followed by: is the connection clean, is the data unchanged, are other sessions alive. The guard alone is tested in unit/.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from itertools import chain
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from pipeline_project.analytics import allowed, guard
from pipeline_project.analytics.catalogue import InvalidParameters, operation
from pipeline_project.analytics.execution import Rows, execute
from pipeline_project.analytics.failures import QueryRefused, QueryTimedOut
from pipeline_project.analytics.parameters import CustomComplexQuery
from pipeline_project.database import READ_ONLY, Connection, Database
from pipeline_project.errors import PipelineError
from pipeline_project_tests.analytics_rows import ask, edge, entity, insert
from pipeline_project_tests.custom_sql_corpus import ATTACKS, BOUNDED, GUARDED, LEGITIMATE, statements
from pipeline_project_tests.fix_postgres import FreshDatabase

CUSTOM = operation("custom_complex_query")
PARTS = 4
"""Attacks are shared out to so many tests, each with a database and a connection of its own."""

# Roles belong to all databases of the server: those named after another test's database come and go with that test.
FINGERPRINT = r"""
    SELECT (SELECT array_agg(t::text ORDER BY entity_id) FROM canonical.entities t),
           (SELECT array_agg(t::text ORDER BY t) FROM canonical.entity_relationships t),
           (SELECT last_value FROM canonical.entities_entity_id_seq),
           (SELECT count(*) FROM pg_class WHERE relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_')),
           (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_largeobject_metadata),
           (SELECT array_agg(oid::text || rolname || rolsuper ORDER BY oid) FROM pg_roles WHERE rolname NOT LIKE 'test\_%'),
           (SELECT count(*) FROM pg_db_role_setting), (SELECT setting FROM pg_settings WHERE name = 'fsync')
"""
COLUMNS = """
    SELECT relname, array_agg(attname::text)
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
    WHERE relnamespace = 'analytics'::regnamespace GROUP BY relname
"""
# With the names of what they give, where these have names; a function that gives a row or anything at all is none of these.
FUNCTIONS = """
    SELECT proname, array_remove(array_agg(DISTINCT given), NULL)
    FROM pg_proc LEFT JOIN LATERAL unnest(proargnames, proargmodes) AS a (given, mode) ON mode IN ('o', 't')
    WHERE pronamespace IN ('pg_catalog'::regnamespace, 'extensions'::regnamespace)
      AND proname = ANY (%s) AND prorettype <> ALL ('{anyelement,anycompatible}'::regtype[])
    GROUP BY proname
"""
CLEAN = """
    SELECT current_user::text, current_setting('search_path'), current_setting('statement_timeout'),
           current_setting('transaction_read_only'), current_setting('TimeZone'), current_setting('work_mem'),
           (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
           (SELECT count(*) FROM pg_cursors WHERE name <> ''), (SELECT count(*) FROM pg_listening_channels()),
           (SELECT count(*) FROM pg_prepared_statements)
"""


class KeptDatabase(Database):
    """Gives the same connection again and again, as a pool would; a new one only after the server ended it."""

    def __init__(self, conninfo: str) -> None:
        super().__init__(lambda: conninfo)
        self._kept: Connection | None = None

    @contextmanager
    def connect(self, *, autocommit: bool = False) -> Iterator[Connection]:
        if self._kept is None or self._kept.closed:
            self._kept = psycopg.connect(self.conninfo(), autocommit=autocommit)
        self._kept.autocommit = autocommit
        yield self._kept

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()


class Scene:
    """A database with some rows, the connection that attacks come over, two bystanders, and a colleague whose query runs."""

    def __init__(self, database: FreshDatabase, conninfo: str) -> None:
        insert(database.loader, "entities", [entity(f"crm_{n}", revenue=Decimal(n)) for n in range(50)])
        insert(database.loader, "entity_relationships", [edge("crm_1", "crm_2")])
        self.kept = KeptDatabase(conninfo)
        self._database = database
        self._bystanders = [
            psycopg.connect(each.conninfo(), autocommit=True) for each in (database.reader, database.loader)
        ]
        self._colleague = psycopg.connect(database.reader.conninfo(), autocommit=True)
        self._colleague.pgconn.send_query(self.aimed("SELECT 'a colleague', pg_sleep(600)").encode())
        self._fingerprint = self.fingerprint()
        self._clean = self.state()

    def aimed(self, query: str) -> str:
        """The colleague meant is the one of this scene: a role can cancel what it runs in other tests' databases, too."""
        return query.replace("a colleague", f"a colleague in {self._database.name}")

    def fingerprint(self) -> Any:
        with psycopg.connect(self._database.admin) as connection:
            return connection.execute(FINGERPRINT).fetchone()

    def state(self) -> Any:
        with self.kept.connect(autocommit=True) as connection:
            return connection.execute(CLEAN).fetchone()

    def check(self, query: str, *, guarded: bool = True) -> None:
        """`guarded`: by more than the role, which may cancel what it runs itself (sql/bootstrap/restrict_public.sql)."""
        with self.kept.connect(autocommit=True) as connection:
            assert connection.info.transaction_status == TransactionStatus.IDLE, query
        assert self.state() == self._clean, query
        for bystander in self._bystanders:
            assert bystander.execute("SELECT 1").fetchone() == (1,), query
        assert self.fingerprint() == self._fingerprint, query
        if guarded:
            self._colleague.pgconn.consume_input()
            assert self._colleague.pgconn.is_busy(), query

    def close(self) -> None:
        self.kept.close()
        for each in (*self._bystanders, self._colleague):
            each.close()


@pytest.fixture
def scene(database: FreshDatabase) -> Iterator[Scene]:
    """In a session as the platform opens it."""
    made = Scene(database, make_conninfo(database.reader.conninfo(), options=READ_ONLY))
    yield made
    made.close()


@pytest.fixture
def role_alone(database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Without the guard, in a session as whoever knows the password may open it."""
    monkeypatch.setattr(guard, "check", lambda query, params: guard.Judged(query, lasting=True))
    made = Scene(database, database.reader.conninfo())
    yield made
    made.close()


def run(database: Database, query: str, *, timeout_seconds: float = 0.5, row_limit: int = 1000) -> list[Any]:
    unjudged = CustomComplexQuery.model_construct(query=query, params=[])
    with execute(database, CUSTOM, unjudged, timeout_seconds=timeout_seconds, row_limit=row_limit) as rows:
        return [row for batch in rows for row in batch]


@pytest.mark.parametrize("part", range(PARTS))
def test_the_role_alone_holds(role_alone: Scene, part: int) -> None:
    ran = 0
    for query in map(role_alone.aimed, (ATTACKS + BOUNDED)[part::PARTS]):
        try:
            run(role_alone.kept, query)
            ran += 1
        except (PipelineError, UnicodeEncodeError):
            pass
        role_alone.check(query, guarded=False)
    assert ran, "nothing ran: is the guard off?"


@pytest.mark.parametrize("part", range(PARTS))
def test_the_whole_holds(scene: Scene, part: int) -> None:
    for query in map(scene.aimed, ATTACKS[part::PARTS]):
        with pytest.raises(InvalidParameters) as refused:
            CUSTOM.validate({"query": query})
        assert refused.value.errors[0]["field"] == "query"
        with pytest.raises(QueryRefused):  # also where nobody validated
            run(scene.kept, query)
        scene.check(query)


@pytest.mark.parametrize("query", BOUNDED + GUARDED, ids=lambda query: query[:60])
def test_what_takes_too_much_is_stopped(scene: Scene, query: str) -> None:
    # A factorial is one step of PostgreSQL's, and looks for cancels on its way.
    with pytest.raises((QueryTimedOut, QueryRefused)):
        run(scene.kept, query)
    scene.check(query)


@pytest.mark.parametrize("part", range(PARTS))
def test_what_analysts_ask_runs(scene: Scene, part: int) -> None:
    for query in LEGITIMATE[part::PARTS]:
        parameters = CUSTOM.validate({"query": query, "params": ["crm_1"] if "$1" in query else []})
        with execute(scene.kept, CUSTOM, parameters, timeout_seconds=30) as rows:
            assert rows.columns
            list(rows)
        scene.check(query)


FROMS = statements("sources")
MARKED = """
    WITH RECURSIVE x (a) AS (SELECT 1 UNION ALL SELECT a FROM x)
    SEARCH DEPTH FIRST BY a SET place CYCLE a SET name USING text
"""
OTHERS = "pg_typeof pg_column_size pg_restore_relation_stats ts_stat name text record x key value ordinality column1"


@pytest.mark.parametrize("source", FROMS)
def test_what_passes_for_a_column_is_one(scene: Scene, source: str) -> None:
    """And not a function, which PostgreSQL calls where there is no such column."""
    words = re.findall(r"\w+", f"{source} {OTHERS}")
    passed = []
    for word in {*words, *chain(*allowed.RELATIONS.values())}:
        with suppress(QueryRefused):
            guard.check(f'SELECT x."{word}" {source}')
            passed.append(word)
    with scene.kept.connect() as connection:
        described = connection.execute(f"SELECT x.* {source} LIMIT 0".encode()).description or []
        connection.rollback()
    assert set(passed) <= {column.name for column in described}


@pytest.mark.parametrize(
    "source", ["FROM x", "FROM x AS x (b)", "FROM (SELECT * FROM x) AS x", "FROM (TABLE x) AS x (b)"]
)
def test_marks_of_a_recursion_are_columns_where_postgresql_has_them(scene: Scene, source: str) -> None:
    """Each name that passes is a column. A column that is named by the query and no function fails as a call."""
    for word in ("a", "b", "place", "name", "text", "pg_typeof"):
        query = f'{MARKED} SELECT x."{word}" {source} LIMIT 0'
        with suppress(QueryRefused), scene.kept.connect() as connection:
            statement = guard.check(query).statement
            described = connection.execute(f"EXPLAIN VERBOSE {statement}".encode()).fetchall()
            connection.rollback()
            assert f"{word}(" not in str(described)


def test_the_lists_say_what_the_database_has(database: FreshDatabase) -> None:
    sets = [*allowed.SETS_OF_VALUES, *allowed.FUNCTION_COLUMNS]
    with psycopg.connect(database.admin) as connection:
        views = {name: frozenset(columns) for name, columns in connection.execute(COLUMNS)}
        there = {name for (name,) in connection.execute("SELECT proname FROM pg_proc")}
        volatile = {name for (name,) in connection.execute("SELECT proname FROM pg_proc WHERE provolatile = 'v'")}
        columns = {name: frozenset(names) for name, names in connection.execute(FUNCTIONS, (sets,))}
    assert views == allowed.RELATIONS
    assert there.issuperset(allowed.FUNCTIONS)
    assert volatile & allowed.FUNCTIONS <= allowed.FLEETING_FUNCTIONS
    assert columns == {**dict.fromkeys(allowed.SETS_OF_VALUES, frozenset()), **allowed.FUNCTION_COLUMNS}


def test_each_connection_is_the_readers_and_reads_only(scene: Scene) -> None:
    with scene.kept.connect() as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("pipeline_reader",)
        connection.rollback()
        connection.read_only = False  # as far as the client is concerned
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM canonical.entities")
        connection.rollback()


def rows_of(database: Database, query: str, *params: Any, row_limit: int | None = None) -> tuple[Rows, list[Any]]:
    parameters = CUSTOM.validate({"query": query, "params": list(params)})
    with execute(database, CUSTOM, parameters, timeout_seconds=30, row_limit=row_limit) as rows:
        return rows, [row for batch in rows for row in batch]


def test_parameters_are_values(scene: Scene) -> None:
    hostile = "' OR true; DROP TABLE canonical.entities --"
    assert rows_of(scene.kept, "SELECT name FROM entities WHERE name = $1", hostile)[1] == []
    assert rows_of(
        scene.kept, "SELECT $1::text, $2::int + 1, $3::float8, $4::bool, $5::text", "ä%s", 2, 0.5, True, None
    )[1] == [("ä%s", 3, 0.5, True, None)]


def test_names_of_columns_are_made_distinct(scene: Scene) -> None:
    rows, got = rows_of(scene.kept, "SELECT 1 AS a, 2 AS a, 3 AS a_2, revenue FROM entities LIMIT 0")
    assert [(column.name, column.type) for column in rows.columns] == [
        ("a", "integer"),
        ("a_2", "integer"),
        ("a_2_2", "integer"),
        ("revenue", "numeric"),
    ]
    assert got == []


def test_the_order_asked_for_is_kept(scene: Scene) -> None:
    _, got = rows_of(scene.kept, "SELECT revenue FROM entities ORDER BY revenue DESC")
    assert got == [(Decimal(n),) for n in reversed(range(50))]


@pytest.mark.parametrize(
    ("limit", "count", "truncated"), [(49, 49, True), (50, 50, False), (51, 50, False), (0, 0, True)]
)
def test_the_row_limit_is_told(scene: Scene, limit: int, count: int, truncated: bool) -> None:
    rows, got = rows_of(scene.kept, "SELECT * FROM entities", row_limit=limit)
    assert (len(got), rows.truncated) == (count, truncated)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT nonsense FROM entities", "no such column; database_info lists the columns (at character 8)"),
        ("SELECT 'ä', nonsense FROM entities", "no such column; database_info lists the columns (at character 13)"),
        ("SELECT 1 / 0", "division by zero; nullif(divisor, 0) gives null instead"),
        ("SELECT name::int FROM entities", "a text is not a value of the type it is cast to; check the cast"),
        (
            "SELECT name, count(*) FROM entities",
            "a column is neither grouped nor aggregated, or an aggregate is where none may be; "
            "add the column to GROUP BY, or filter aggregates with HAVING (at character 8)",
        ),
        (
            "SELECT 'infinity'::timestamptz",
            "a value of the result or of the parameters cannot be represented; cast it to text",
        ),
    ],
)
def test_errors_tell_where_and_never_quote_the_database(scene: Scene, query: str, message: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        rows_of(scene.kept, query)
    assert str(refused.value) == message
    scene.check(query)


def test_ask_gives_dicts(scene: Scene) -> None:
    query = "SELECT source, count(*) AS entities FROM entities GROUP BY source"
    assert ask(scene.kept, "custom_complex_query", query=query) == [{"source": "crm", "entities": 50}]
