"""The decision for each SQLSTATE, compared with the list that PostgreSQL itself ships."""

import re

import psycopg
import pytest
from psycopg import errors

from pipeline_project.analytics import failures
from pipeline_project.analytics.failures import (
    FAILURES,
    DatabaseUnavailable,
    QueryCancelled,
    QueryFailed,
    QueryRefused,
    QueryTimedOut,
    decision,
    translated,
)
from pipeline_project.api.http.problems import STATUS_OF
from pipeline_project.database import TRANSIENT_SQLSTATES
from pipeline_project.local.postgres import wheel_binaries

LISTED = re.findall(
    r"^([0-9A-Z]{5}) +[EWS] ", (wheel_binaries().parent / "share" / "errcodes.txt").read_text("utf-8"), re.MULTILINE
)
OUR_CODES = {"54B01"}
CAUSED_BY_THE_QUERY = {"0A", "10", "21", "22", "34", "3F", "42", "54"}
"""The classes whose errors a SELECT can cause, as the SQL standard and PostgreSQL define them."""


def raised(state: str) -> psycopg.Error:
    return errors.lookup(state)()


def test_the_list_is_that_of_postgresql_18() -> None:
    assert len(set(LISTED)) > 250
    assert {"25P04", "2203G", "57P05"} <= set(LISTED)


def test_each_code_of_postgresql_has_a_decision() -> None:
    assert [code for code in LISTED if code not in FAILURES and code[:2] not in FAILURES] == []


def test_no_decision_is_for_a_code_that_does_not_exist() -> None:
    codes = set(LISTED)
    assert {key for key in FAILURES if len(key) == 5} - OUR_CODES <= codes
    assert {key for key in FAILURES if len(key) == 2} == {code[:2] for code in codes}


def test_errors_of_a_query_are_refused_and_nothing_else_is() -> None:
    refused = {code for code in LISTED if decision(code).error is QueryRefused}
    by_class = {code for code in LISTED if code[:2] in CAUSED_BY_THE_QUERY}
    assert refused - by_class == {"25006", "53200", "53400", "P0001"}
    assert by_class <= refused


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("08006", DatabaseUnavailable),
        ("25P02", QueryFailed),
        ("25P04", QueryTimedOut),
        ("40001", DatabaseUnavailable),
        ("40P01", DatabaseUnavailable),
        ("53100", DatabaseUnavailable),
        ("53300", DatabaseUnavailable),
        ("55P03", DatabaseUnavailable),
        ("57014", QueryCancelled),
        ("57P01", DatabaseUnavailable),
        ("58030", QueryFailed),
        ("XX001", QueryFailed),
    ],
)
def test_what_the_database_caused_is_no_fault_of_the_query(state: str, kind: type[Exception]) -> None:
    error = translated(raised(state), timed_out=False)
    assert type(error) is kind
    assert STATUS_OF[error.code or ""] >= 500


@pytest.mark.parametrize("state", ["99999", "ZZ000"])
def test_an_unknown_code_is_a_fault_of_the_platform(state: str) -> None:
    assert decision(state).error is QueryFailed


def test_what_is_retried_elsewhere_is_transient_here_too() -> None:
    """The exception is too little memory or space: the same query would need as much again."""
    for code in LISTED:
        if code.startswith(TRANSIENT_SQLSTATES) and code not in ("53200", "53400"):
            assert decision(code).error is DatabaseUnavailable, code


def test_a_cancel_after_the_time_was_up_is_a_timeout() -> None:
    cancelled = raised(failures.QUERY_CANCELED)
    assert isinstance(translated(cancelled, timed_out=True), QueryTimedOut)
    assert isinstance(translated(cancelled, timed_out=False), QueryCancelled)
    assert isinstance(translated(raised("22012"), timed_out=True), QueryRefused)


def test_the_place_is_told_after_the_message() -> None:
    assert str(translated(raised("42601"), timed_out=False, position=8)) == "syntax error (at character 8)"


def test_a_failure_names_its_sqlstate_and_a_refusal_does_not() -> None:
    assert "XX001" in str(translated(raised("XX001"), timed_out=False))
    assert "22012" not in str(translated(raised("22012"), timed_out=False))
