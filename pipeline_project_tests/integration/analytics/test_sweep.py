"""No listed function, operator or cast can outlive its timeout or take much memory, whatever a query gives it."""

from collections.abc import Iterator
from signal import SIGQUIT

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pipeline_project.analytics import allowed, execution, guard
from pipeline_project.canonical.migrations import migrate
from pipeline_project.database import READ_ONLY, Connection, Role
from pipeline_project.local.postgres import PostgresServer, wheel_binaries
from pipeline_project_tests import sweep
from pipeline_project_tests.shared_postgres import start
from pipeline_project_tests.sweeping import Sweeper

# A cursor stays open if its session is killed, or if the server ends the session on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
PARTS = 6
"""Tests that share the statements."""
PASSWORDS: dict[Role, str] = {"owner": "of-the-owner", "loader": "of-the-loader", "reader": "of-the-reader"}

SMALL = {
    "text": "'b'",
    "bytea": "'\\x62'::bytea",
    "bit": "B'1'",
    "integer": "2",
    "jsonb": "'[\"b\", 1]'::jsonb",
    "text[]": "ARRAY['b', 'c']",
    "anyarray": "ARRAY['b', 'a']",
    "real[]": "ARRAY[0.1, 0.2, 0.4, 1]::real[]",
    "regconfig": "'simple'::regconfig",
    "tsvector": "to_tsvector('simple', 'b c')",
    "tsquery": "'b'::tsquery",
}

NULLS = {"anyarray": "NULL::text[]", "regconfig": "NULL::regconfig"}

# SQL's own syntax, and more arguments than the signatures ask for. The columns are the texts and values of sweep.HOSTILE.
FORMS = [
    "SELECT normalize({marks}, NFD) FROM hostile",
    "SELECT {marks} IS NFKC NORMALIZED FROM hostile",
    "SELECT position({late} IN {letters}) FROM hostile",
    "SELECT trim(both {different} FROM {different}) FROM hostile",
    "SELECT trim(leading {late} FROM {letters}) FROM hostile",
    "SELECT pg_catalog.translate({different}, {different}, 'z') FROM hostile",
    "SELECT {numbers} OPERATOR(pg_catalog.&&) {negatives} FROM hostile",
    "SELECT {numbers} && ANY (SELECT {negatives} FROM hostile) FROM hostile",
    "SELECT {letters} LIKE {pattern} ESCAPE 'b' FROM hostile",
    "SELECT {letters} SIMILAR TO '(a|aa)*b' FROM hostile",
    "SELECT substring({letters} SIMILAR '%#\"(a|aa)*#\"b' ESCAPE '#') FROM hostile",
    "SELECT {letters} ILIKE ANY (ARRAY[{pattern}, {letters}]) FROM hostile",
    "SELECT overlay({letters} PLACING {letters} FROM 500000) FROM hostile",
    "SELECT regexp_replace({letters}, 'a', {letters}, 'g') FROM hostile",
    "SELECT regexp_replace({letters}, '(.*)', '\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1') FROM hostile",
    "SELECT regexp_split_to_array({letters}, '') FROM hostile",
    "SELECT concat(" + ", ".join(["{letters}"] * 50) + ") FROM hostile",
    "SELECT concat_ws(', ', " + ", ".join(["{letters}"] * 49) + ") FROM hostile",
    "SELECT concat_ws(', ', VARIADIC {numbers}) FROM hostile",
    "SELECT format('" + "%s" * 50 + "', " + ", ".join(["{letters}"] * 50) + ") FROM hostile",
    "SELECT format('" + "%1$1000s" * 50 + "', {letters}) FROM hostile",
    "SELECT ARRAY[" + ", ".join(["{letters}"] * 50) + "] FROM hostile",
    "SELECT JSON_ARRAY(" + ", ".join(["{letters}"] * 50) + ") FROM hostile",
    "SELECT jsonb_build_array(" + ", ".join(["{letters}"] * 50) + ") FROM hostile",
    "SELECT {document}::text IS JSON OBJECT WITH UNIQUE KEYS FROM hostile",
    "SELECT JSON_VALUE({document}, '$.** ? (@ like_regex \"(a|aa)+$\")') FROM hostile",
    "SELECT JSON_EXISTS({array}, '$[*] ? (exists($ ? (@[*] == -1)))') FROM hostile",
    "SELECT JSON_QUERY({array}, '$[*]' WITH WRAPPER) FROM hostile",
    "SELECT JSON({document}::text WITH UNIQUE KEYS), JSON_SERIALIZE({array}), JSON_SCALAR({letters}) FROM hostile",
    "SELECT count(*) FROM hostile, JSON_TABLE({array}, '$[*]' COLUMNS (a int PATH '$', NESTED '$' COLUMNS (b int PATH '$')))",
    "SELECT count(*) FROM hostile, jsonb_to_recordset({array}) AS t(a int)",
    "SELECT count(*) FROM hostile, jsonb_array_elements({array}) AS a, jsonb_array_elements({array}) AS b",
    "SELECT ({array})[100], {numbers}[1:50000], {numbers}[70000:] FROM hostile",
    "SELECT JSON_ARRAYAGG({letters}), JSON_OBJECTAGG({letters} : 1) FROM hostile, generate_series(1, 20)",
    'SELECT {letters} IN ({letters}, {late}), greatest({letters}, {late}), {letters} COLLATE "C" < {late} FROM hostile',
    "SELECT array_agg(n), jsonb_agg(n), string_agg(n::text, ','), count(DISTINCT n) FROM generate_series(1, 100000) AS n",
    "SELECT mode() WITHIN GROUP (ORDER BY n), jsonb_object_agg(n, n) FROM generate_series(1, 100000) AS n",
]


@pytest.fixture(scope="module")
def conninfo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Connection strings of the administrator and the reader, in a server that may be broken."""
    folder = tmp_path_factory.mktemp("sweep")
    process, port, password = start(folder / "data", wheel_binaries())
    server = PostgresServer(wheel_binaries(), folder / "data", port)
    try:
        migrate(server.conninfo(password, dbname="sweep"), PASSWORDS)
        with psycopg.connect(
            server.conninfo(PASSWORDS["owner"], dbname="sweep", user="pipeline_owner"), autocommit=True
        ) as owner:
            sweep.build(owner)
        reader = server.conninfo(PASSWORDS["reader"], dbname="sweep", user="pipeline_reader")
        yield {
            "admin": server.conninfo(password, dbname="sweep"),
            "reader": make_conninfo(reader, options=READ_ONLY),
        }
    finally:
        process.send_signal(SIGQUIT)
        process.wait()


@pytest.fixture
def catalog(conninfo: dict[str, str]) -> Iterator[Connection]:
    with psycopg.connect(conninfo["admin"]) as connection:
        yield connection


@pytest.fixture
def sweeper(conninfo: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweeper]:
    monkeypatch.setitem(allowed.RELATIONS, sweep.TABLE, frozenset(sweep.columns()))
    made = Sweeper(conninfo["reader"])
    yield made
    made.close()


def problems(sweeper: Sweeper, swept: list[sweep.Swept]) -> list[str]:
    """One line for each signature that breaks a limit. Its other statements are not tried."""
    found: dict[str, str] = {}
    # A bounded function and PostgreSQL's own have the same statements.
    for statement, signature in {each.statement: each.signature for each in swept}.items():
        if signature not in found and (problem := sweeper.cost(statement).problem):
            found[signature] = f"{signature} {problem}: {statement}"
    return list(found.values())


def test_a_query_can_build_the_values() -> None:
    for name, value in sweep.columns().items():
        assert guard.check(f"SELECT {value} AS {name}")


def test_each_listed_name_is_swept(catalog: Connection) -> None:
    functions = {swept.name for swept in sweep.function_statements(catalog)}
    operators = {swept.name for swept in sweep.operator_statements(catalog)}
    types = {
        name
        for (name,) in catalog.execute("SELECT t::regtype::text FROM unnest(%s::text[]) AS t", (list(allowed.TYPES),))
    }
    assert types - {*sweep.HOSTILE, *sweep.SAME} == (allowed.RANGE_TYPES - {"int4range"}) | {"character varying"}
    assert functions == allowed.FUNCTIONS
    assert operators == {name for name in allowed.OPERATORS if "BETWEEN" not in name and name != "!="}


def test_each_bounded_name_has_a_function_of_ours(catalog: Connection) -> None:
    ours = "'bounded'::regnamespace"
    functions = {
        name for (name,) in catalog.execute(f"SELECT proname FROM pg_proc WHERE pronamespace = {ours}".encode())
    }
    operators = dict(
        catalog.execute(
            f"SELECT oprcode::oid::regproc::text, oprname FROM pg_operator WHERE oprnamespace = {ours}".encode()
        )
    )
    behind = {name.rpartition(".")[2] for name in operators}
    assert set(operators.values()) == allowed.BOUNDED_OPERATORS
    assert functions - behind <= allowed.BOUNDED_FUNCTIONS <= functions
    assert functions & allowed.FUNCTIONS <= allowed.BOUNDED_FUNCTIONS


def test_bounded_functions_are_declared_as_those_of_postgresql(catalog: Connection) -> None:
    differing = """
        SELECT b.oid::regprocedure::text
        FROM pg_proc b LEFT JOIN pg_proc o
            ON o.pronamespace = 'pg_catalog'::regnamespace AND o.proname = b.proname AND o.proargtypes = b.proargtypes
        WHERE b.pronamespace = 'bounded'::regnamespace
          AND (o.oid IS NULL OR b.prosecdef OR b.proparallel <> 's' OR has_function_privilege('pipeline_loader', b.oid, 'EXECUTE')
               OR (b.provolatile, b.prorettype, b.proretset, b.provariadic)
                  <> (o.provolatile, o.prorettype, o.proretset, o.provariadic)
               OR NOT has_function_privilege('pipeline_reader', b.oid, 'EXECUTE'))
    """
    assert catalog.execute(differing).fetchall() == []


def test_bounded_functions_give_what_those_of_postgresql_give(catalog: Connection) -> None:
    """With small arguments, and with NULL for each argument in turn."""
    types = "ARRAY(SELECT format_type(t, NULL) FROM unnest(proargtypes) WITH ORDINALITY AS a (t, n) ORDER BY n)"
    ours = f"SELECT proname, {types}, provariadic <> 0 FROM pg_proc WHERE pronamespace = 'bounded'::regnamespace"
    declared = catalog.execute(ours.encode()).fetchall()
    assert declared
    for name, kinds, variadic in declared:
        given = [SMALL[kind] for kind in kinds]
        if "normalize" in name:
            given[1] = "'NFD'"
        for place in range(-1, len(given)):
            call = [NULLS.get(kinds[n], f"NULL::{kinds[n]}") if n == place else value for n, value in enumerate(given)]
            if variadic:
                call[-1] = f"VARIADIC {call[-1]}"
            sides = [
                f'(SELECT array_agg(x::text) FROM (SELECT {schema}."{name}"({", ".join(call)}) AS x) AS y)'
                for schema in ("bounded", "pg_catalog")
            ]
            assert catalog.execute(f"SELECT {' IS NOT DISTINCT FROM '.join(sides)}".encode()).fetchone() == (True,), (
                name,
                call,
            )


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_listed_outlives_its_timeout(sweeper: Sweeper, catalog: Connection, part: int) -> None:
    swept = [*sweep.function_statements(catalog), *sweep.operator_statements(catalog), *sweep.cast_statements()]
    assert problems(sweeper, swept[part::PARTS]) == []


def test_no_form_outlives_its_timeout(sweeper: Sweeper) -> None:
    assert problems(sweeper, [sweep.Swept(form, form, sweep.filled(form)) for form in FORMS]) == []


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ("SELECT translate({different}, {different}, 'z') FROM hostile", "could not be stopped"),
        ("SELECT array_to_string({numbers}, {letters}) FROM hostile", "MB"),
    ],
)
def test_the_sweep_finds_what_is_not_bounded(
    sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch, form: str, problem: str
) -> None:
    monkeypatch.setattr(execution, "BOUNDED_SEARCH_PATH", execution.SEARCH_PATH)
    assert problem in sweeper.cost(sweep.filled(form)).problem
    assert not sweeper.cost("SELECT 1").problem
