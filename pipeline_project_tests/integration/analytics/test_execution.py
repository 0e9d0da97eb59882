"""Running operations: limits, cancel, snapshot, errors. The custom SQL has a suite of its own."""

import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from decimal import Decimal
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg.pq import TransactionStatus

from pipeline_project.analytics import catalogue, execution
from pipeline_project.analytics.catalogue import Operation, operation
from pipeline_project.analytics.execution import execute, versions
from pipeline_project.analytics.failures import (
    DatabaseUnavailable,
    QueryCancelled,
    QueryRefused,
    QueryTimedOut,
    translated,
)
from pipeline_project.analytics.parameters import NoParameters
from pipeline_project.database import Database
from pipeline_project.errors import Transient
from pipeline_project_tests.analytics_rows import entity, insert
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.live_stack import until

STATEMENTS = {
    "many": b"SELECT n, n::text AS text FROM generate_series(1, 5000) AS n",
    "slow": b"SELECT pg_sleep(20)",
    "slow_rows": b"SELECT n, pg_sleep(0.001) FROM generate_series(1, 100000) AS n",
    "hidden": b"SELECT name FROM canonical.entities",
    "writes": b"CREATE TEMPORARY TABLE t (a int)",
    "settings": b"SELECT current_user::text, current_setting('transaction_read_only'), current_setting('transaction_isolation'),"
    b" current_setting('TimeZone')",
    "values": b"""SELECT 1.50::numeric AS amount, '{"n": 1.10}'::jsonb AS raw, ARRAY[1.5, NULL]::numeric[] AS amounts""",
}


@pytest.fixture(autouse=True)
def _statements(monkeypatch: pytest.MonkeyPatch) -> None:
    real = catalogue.query
    monkeypatch.setattr(catalogue, "query", lambda name: STATEMENTS.get(name.removeprefix("analytics/")) or real(name))


def named(sql: str) -> Operation:
    return Operation(name=sql, summary="", description="", parameters=NoParameters, sql=sql)


def read(database: Database, sql: str, **options: Any) -> list[Any]:
    with execute(database, named(sql), NoParameters(), **{"timeout_seconds": 10, **options}) as rows:
        return [row for batch in rows for row in batch]


def test_rows_come_in_batches(database: FreshDatabase) -> None:
    with execute(database.reader, named("many"), NoParameters(), timeout_seconds=10) as rows:
        batches = list(rows)
        assert [len(batch) for batch in batches] == [execution.BATCH_ROWS] * 5
        assert batches[4][-1] == (5000, "5000")
        assert [(column.name, column.type) for column in rows.columns] == [("n", "integer"), ("text", "text")]


@pytest.mark.parametrize(
    ("limit", "count", "truncated"), [(1, 1, True), (1000, 1000, True), (4999, 4999, True), (5000, 5000, False)]
)
def test_the_row_limit_is_told(database: FreshDatabase, limit: int, count: int, truncated: bool) -> None:
    with execute(database.reader, named("many"), NoParameters(), timeout_seconds=10, row_limit=limit) as rows:
        assert sum(map(len, rows)) == count
        assert rows.truncated is truncated


def test_leaving_early_ends_the_statement(database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(database.reader.conninfo()) as connection:
        monkeypatch.setattr(database.reader, "connect", lambda: nullcontext(connection))
        begin = time.monotonic()
        with execute(database.reader, named("slow_rows"), NoParameters(), timeout_seconds=60) as rows:
            next(iter(rows))
        assert time.monotonic() - begin < 20
        assert connection.info.transaction_status == TransactionStatus.IDLE
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("sql", ["slow", "slow_rows"])
def test_time_runs_out(database: FreshDatabase, sql: str) -> None:
    begin = time.monotonic()
    with pytest.raises(QueryTimedOut):
        read(database.reader, sql, timeout_seconds=0.5)
    assert time.monotonic() - begin < 15, "the query alone takes 20 s"


def test_the_backend_can_be_cancelled(database: FreshDatabase) -> None:
    def cancel(pid: int) -> None:
        time.sleep(0.5)
        with database.reader.connect(autocommit=True) as other:
            other.execute("SELECT pg_cancel_backend(%s)", (pid,))

    def started(pid: int) -> None:
        threads.append(threading.Thread(target=cancel, args=(pid,)))
        threads[-1].start()

    threads: list[threading.Thread] = []
    with pytest.raises(QueryCancelled):
        read(database.reader, "slow", on_backend=started)
    threads[0].join()


ENDLESS = """
import sys
from pipeline_project.analytics.catalogue import operation
from pipeline_project.analytics.execution import execute
from pipeline_project.database import Database
query = "SELECT count(*) FROM generate_series(1, 1000000) AS a, generate_series(1, 1000000) AS b"
custom = operation("custom_complex_query")
limits = {"timeout_seconds": 900, "on_backend": lambda pid: print(pid, flush=True)}
with execute(Database(lambda: sys.argv[1]), custom, custom.validate({"query": query}), **limits) as rows:
    list(rows)
"""


def test_what_a_killed_process_has_asked_for_ends(database: FreshDatabase) -> None:
    process = subprocess.Popen([sys.executable, "-c", ENDLESS, database.reader.conninfo()], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout, psycopg.connect(database.admin, autocommit=True) as admin:
        pid = int(process.stdout.readline())

        def works() -> bool:
            running = "SELECT FROM pg_stat_activity WHERE pid = %s AND state = 'active' AND query LIKE 'FETCH%%'"
            return admin.execute(running, (pid,)).rowcount > 0

        until(works)
        process.kill()
        process.wait()
        until(lambda: not works())


def test_a_session_that_was_ended_is_transient(database: FreshDatabase) -> None:
    def end(pid: int) -> None:
        def after_a_while() -> None:
            time.sleep(0.5)
            with psycopg.connect(database.admin, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s)", (pid,))

        threads.append(threading.Thread(target=after_a_while))
        threads[-1].start()

    threads: list[threading.Thread] = []
    with pytest.raises(DatabaseUnavailable):
        read(database.reader, "slow", on_backend=end)
    threads[0].join()


def test_a_server_that_is_away_is_transient() -> None:
    away = Database(lambda: "host=127.0.0.1 port=1 user=nobody dbname=nothing")
    with pytest.raises(Transient):
        read(away, "many")
    with pytest.raises(Transient):
        versions(away)


def test_too_little_memory_is_the_querys_fault() -> None:
    """It would take as much when tried again."""
    assert isinstance(translated(psycopg.errors.OutOfMemory(), timed_out=False), QueryRefused)


@pytest.mark.parametrize("sql", ["hidden", "writes"])
def test_only_the_views_are_seen_and_nothing_is_written(database: FreshDatabase, sql: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        read(database.reader, sql)
    assert "canonical" not in str(refused.value)


def test_the_session_is_the_readers(database: FreshDatabase) -> None:
    assert read(database.reader, "settings") == [("pipeline_reader", "on", "repeatable read", "UTC")]


def test_values_are_exact(database: FreshDatabase) -> None:
    [(amount, raw, amounts)] = read(database.reader, "values")
    assert (str(amount), amounts) == ("1.50", [Decimal("1.5"), None])
    assert isinstance(raw, msgspec.Raw)
    assert bytes(raw) == b'{"n": 1.10}'


def raise_version(database: FreshDatabase) -> None:
    with database.loader.connect() as connection:
        connection.execute(
            "INSERT INTO ingest.data_versions AS v (source, dataset, version) VALUES ('crm', 'entities', 1)"
            " ON CONFLICT (source, dataset) DO UPDATE SET version = v.version + 1"
        )


def test_the_data_version_is_that_of_the_rows(database: FreshDatabase) -> None:
    assert versions(database.reader).data == 0
    insert(database.loader, "entities", [entity("crm_1")])
    raise_version(database)
    demo = operation("simple_demo")
    with execute(database.reader, demo, demo.validate({}), timeout_seconds=10) as rows:
        raise_version(database)  # a load meanwhile
        assert (rows.data_version, versions(database.reader).data) == (1, 2)


def test_operation_answers_while_others_run(database: FreshDatabase) -> None:
    """Each query has a session of its own: threads do not wait for one another."""
    results: list[list[Any]] = []
    threads = [threading.Thread(target=lambda: results.append(read(database.reader, "many"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(rows) for rows in results] == [5000] * 4
