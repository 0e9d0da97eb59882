"""The guard alone: what it refuses, what it lets pass, and that it is quick."""

import statistics
import time
from contextlib import suppress

import pytest

from pipeline_project.analytics import guard
from pipeline_project.analytics.failures import QueryRefused
from pipeline_project_tests.custom_sql_corpus import ATTACKS, BOUNDED, LEGITIMATE

GOAL_SECONDS = 0.001


def test_the_corpora_are_large_enough() -> None:
    assert len(ATTACKS) >= 100
    assert len(set(LEGITIMATE)) >= 50


@pytest.mark.parametrize("query", ATTACKS, ids=lambda query: repr(query[:60]))
def test_refuses(query: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        guard.check(query)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("query", LEGITIMATE + BOUNDED, ids=lambda query: repr(query[:60]))
def test_lets_pass(query: str) -> None:
    assert guard.check(query, ["crm_1"]).statement.strip(" ;") in query


@pytest.mark.parametrize(
    ("query", "statement"),
    [
        ("SELECT 1", "SELECT 1"),
        (" SELECT 1 ; -- ä", "SELECT 1 "),
        ("SELECT 'ä;' ; ;", "SELECT 'ä;' "),
        ("SELECT 1 -- ;", "SELECT 1 -- ;"),
    ],
)
def test_gives_the_statement_without_what_follows(query: str, statement: str) -> None:
    assert guard.check(query).statement == statement


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT 1; SELECT 2", "exactly one statement is taken, not 2"),
        ("", "exactly one statement is taken, not 0"),
        ("DELETE FROM entities", "only SELECT is allowed"),
        ("SELECT nonsense(1)", "the function nonsense"),
        ("SELECT * FROM nonsense", "no such table: nonsense; there are data_version, entities"),
        ("SELECT * FROM entities FOR UPDATE", "FOR UPDATE"),
        ("SELECT ''::xml", "the type xml"),
        ("SELECT (a).b FROM entities", "a field of an expression"),
        ("SELECT e.pg_sleep FROM entities AS e", "no such column: e.pg_sleep; .* named with AS"),
        ("SELECT * FROM coalesce(1)", "an expression in FROM needs a name: AS"),
        ("SELECT 1 +", "syntax error"),
        ("SELECT a FROM WHERE", "syntax error at character 15"),
        ("SELECT " + "x" * 10_000, "has 10007 bytes, at most 10000"),
    ],
)
def test_says_what_is_wrong(query: str, reason: str) -> None:
    with pytest.raises(QueryRefused, match=reason):
        guard.check(query)


@pytest.mark.parametrize(
    ("query", "params", "lasting"),
    [
        ("SELECT count(*) FROM entities, data_version WHERE name = $1", ["Nowak, Todays Ltd"], True),
        ("SELECT source_updated_at::date, date_trunc('month', recorded_at) FROM entity_versions", [], True),
        ("WITH t AS (TABLE objects) SELECT * FROM t", [], False),
        ("SELECT (SELECT count(*) FROM analytics.reject_counts)", [], False),
        ("SELECT now()", [], False),
        ("SELECT current_date", [], False),
        ("SELECT random()", [], False),
        ("SELECT age(source_updated_at) FROM entities", [], False),
        ("SELECT * FROM entities WHERE source_updated_at > 'Yesterday 10:00'", [], False),
        ("SELECT * FROM entities WHERE source_updated_at > $1", [" TODAY"], False),
        ("SELECT '{now}'::timestamptz[]", [], False),
        ("SELECT timetz '10:00 Europe/Berlin'", [], False),
        ("SELECT make_time(10, 0, 0) AT TIME ZONE 'Europe/Berlin'", [], False),
    ],
)
def test_knows_what_stays_the_same_without_a_load(query: str, params: list[str], lasting: bool) -> None:
    assert guard.check(query, params).lasting is lasting


CHAIN = ",".join(["a0 AS (SELECT 1 AS x)", *(f"a{n} AS (SELECT * FROM a{n - 1})" for n in range(1, 300))])
WIDE = ",".join(
    ["a0 AS (SELECT 1 AS x)", *(f"a{n} AS (SELECT *, * FROM a{n - 1} b, a{n - 1} c)" for n in range(1, 100))]
)


@pytest.mark.parametrize("query", [f"WITH {CHAIN} SELECT a299.x FROM a299", f"WITH {WIDE} SELECT a99.x FROM a99"])
def test_columns_are_followed_in_bounds(query: str) -> None:
    """A chain of subqueries is deep, and each may be named twice in the next."""
    begin = time.perf_counter()
    with suppress(QueryRefused):
        guard.check(query)
    assert time.perf_counter() - begin < 1


def test_is_quick() -> None:
    def seconds(query: str) -> float:
        begin = time.perf_counter()
        guard.check(query, ["crm_1"])
        return time.perf_counter() - begin

    # The least of several: what the machine does besides is not the guard's.
    best = [min(seconds(query) for _ in range(5)) for query in LEGITIMATE]
    assert statistics.median(best) < GOAL_SECONDS / 2
    assert max(best) < GOAL_SECONDS
