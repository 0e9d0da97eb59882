"""Rows whose numbers are short as stored and long as text are refused before PostgreSQL writes the text.

The memory of the backend is the proof: PostgreSQL holds all texts of an array at once.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from pipeline_project.analytics.catalogue import operation
from pipeline_project.analytics.execution import execute
from pipeline_project.database import Database
from pipeline_project_tests.analytics_rows import entity, insert
from pipeline_project_tests.fix_postgres import FreshDatabase

CUSTOM = operation("custom_complex_query")
MOST_BYTES = 300 * 1024 * 1024
LONG = "1e131071::numeric"

ESTIMATE = "SELECT analytics.least_bytes(%(n)s::numeric[]) <= octet_length(%(n)s::numeric[]::text)"


def array(number: str, count: int) -> str:
    return f"(SELECT array_agg({number}) FROM generate_series(1, {count}))"


ONE = f"(SELECT {LONG} AS n OFFSET 0) AS one"
COLUMNS = ", ".join(f"n AS c{i}" for i in range(100))
REFUSED = {
    "an array": f"SELECT {array(LONG, 32000)} AS a",
    "fractions": f"SELECT {array('1e-16383::numeric', 32000)}",
    "zeros after the point": f"SELECT {array('round(1::numeric, 16000)', 30000)}",
    "negative numbers": f"SELECT {array('-1e131071::numeric', 32000)}",
    "an array of two dimensions": f"SELECT (SELECT array_agg({array(LONG, 100)}) FROM generate_series(1, 300))",
    "two columns of one name": f"SELECT {array(LONG, 10000)} AS a, {array(LONG, 10000)} AS a",
    "after a null": f"SELECT NULL::numeric[] AS a, {array(LONG, 20000)} AS b",
    "JSON": f"SELECT jsonb_agg({LONG}) FROM generate_series(1, 4000)",
    "nested JSON": f"SELECT jsonb_build_object('a', jsonb_build_array(jsonb_agg({LONG}))) FROM generate_series(1, 4000)",
    "an array of JSON": f"SELECT array_agg(jsonb_build_array({LONG})) FROM generate_series(1, 6000)",
    "a row as one value": f"SELECT ROW({array(LONG, 30000)})",
    "a row of a subquery": f"SELECT x FROM (SELECT {array(LONG, 30000)} AS a) AS x",
    "an array of ranges": f"SELECT array_agg(numrange(0, {LONG})) FROM generate_series(1, 8000)",
    "very many columns": f"SELECT {', '.join(['x.*'] * 16)} FROM (SELECT {COLUMNS} FROM {ONE}) AS x",
}
SERVED = {
    "an array of many numbers": "SELECT array_agg(n % 10) FROM generate_series(1::numeric, 30000) AS n",
    "values that are no numbers": f"SELECT {array('$1::numeric', 30000)} || NULL::numeric",
    "one long number": f"SELECT {LONG}",
    "an array of JSON": "SELECT array_agg(attributes || jsonb_build_object('n', g)) FROM entities, generate_series(1, 800) AS g",
    "two columns of one name": f"SELECT {array('1.5', 9000)} AS a, {array('2.5', 10)} AS a",
    "a whole row": "SELECT e FROM entities AS e",
    "parameters": f"SELECT {array('$1', 5000)} AS a",
}


@pytest.fixture
def reader(database: FreshDatabase) -> Database:
    insert(database.loader, "entities", [entity("crm_1", attributes=Jsonb({"text": "x" * 100, "n": 7}))])
    return database.reader


def peak(pid: int) -> int:
    """The most memory that a process had so far, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def ask(reader: Database, query: str, params: Sequence[Any] = ()) -> tuple[Any, int]:
    """Run the query. Returns the error or the columns and rows, and the most memory of the backend."""
    pids: list[int] = []
    parameters = CUSTOM.validate({"query": query, "params": list(params)})
    with execute(reader, CUSTOM, parameters, timeout_seconds=60, on_backend=pids.append) as rows:
        found: Any
        try:
            found = ([column.name for column in rows.columns], [row for batch in rows for row in batch])
        except psycopg.Error as error:
            found = error.sqlstate
        return found, peak(pids[0])


@pytest.mark.parametrize("name", REFUSED)
def test_a_row_of_long_numbers_is_refused_before_it_is_text(reader: Database, name: str) -> None:
    found, most = ask(reader, REFUSED[name])
    assert found == "54000"
    assert most < MOST_BYTES


@pytest.mark.parametrize("name", SERVED)
def test_other_rows_are_served_as_before(reader: Database, name: str) -> None:
    params = {"parameters": [7], "values that are no numbers": ["NaN"]}.get(name, [])
    columns, rows = ask(reader, SERVED[name], params)[0]
    assert len(rows) == 1
    if name == "two columns of one name":
        assert columns == ["a", "a_2"]
        assert rows[0] == ([Decimal("1.5")] * 9000, [Decimal("2.5")] * 10)
    if name == "parameters":
        assert rows == [([7] * 5000,)]


@pytest.fixture
def loaded(database: FreshDatabase) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        yield connection


NUMBERS = (
    st.decimals(places=4) | st.decimals() | st.builds(Decimal, st.from_regex(r"-?[1-9]e-?[0-9]{1,4}", fullmatch=True))
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(NUMBERS.filter(lambda n: not n.is_snan()) | st.none(), max_size=20))
def test_the_estimate_is_never_above_the_bytes_of_the_text(loaded: psycopg.Connection, numbers: list[Any]) -> None:
    """A row that fits is never refused."""
    text = "{" + ",".join("NULL" if n is None else str(n) for n in numbers) + "}"
    try:
        row = loaded.execute(ESTIMATE, {"n": text}).fetchone()
    except psycopg.DataError:  # a number that PostgreSQL does not hold
        row = (True,)
    assert row == (True,)
