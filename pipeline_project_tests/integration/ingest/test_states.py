"""The words of the ledger: SQL, constraints and Python know the same, and only listed transitions happen."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import psycopg
import pytest

from pipeline_project.ingest.ledger import DiscoveredBy, Outcome
from pipeline_project.ingest.ledger.object_states import FIRST, TRANSITIONS, Merged, ObjectState
from pipeline_project.ingest.ledger.snapshots import SnapshotState
from pipeline_project.ingest.rejects.rejected_rows import Kind, Status
from pipeline_project.schema.sql_files import SQL
from pipeline_project_tests.fix_postgres import FreshDatabase

Connection = psycopg.Connection[tuple[Any, ...]]

CONSTRAINTS = """
    SELECT a.attname, pg_get_constraintdef(c.oid)
    FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
    WHERE c.contype = 'c' AND c.conrelid = %s::regclass"""
IN_STATE = re.compile(r"\bstate\s*(?:=|<>|IN|NOT IN)\s*('\w+'|\([^)]*\))")
MERGED = re.compile(r"(?:THEN|ELSE) '(\w+)'")
LOADED = {ObjectState.LOADED, ObjectState.LOADED_WITH_REJECTS}
INSERT = """
    INSERT INTO ingest.objects (
        object_id, bucket, key, version, versioned, size, discovered_by, state, claimed_by, claim_expires_at)
    SELECT %(id)s, 'b', 'k', %(id)s, true, 1, 'event', %(state)s, w, CASE WHEN w IS NOT NULL THEN now() END
    FROM (SELECT CASE WHEN %(state)s = 'claimed' THEN 'w' END AS w)"""
MOVE = """
    UPDATE ingest.objects SET state = %(state)s, claimed_by = w, claim_expires_at = CASE WHEN w IS NOT NULL THEN now() END
    FROM (SELECT CASE WHEN %(state)s = 'claimed' THEN 'w' END AS w)
    WHERE object_id = %(id)s"""


@pytest.fixture
def admin(database: FreshDatabase) -> Iterator[Connection]:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        yield connection


def words(text: str) -> set[str]:
    return set(re.findall(r"'(\w+)'", text))


def constrained(admin: Connection, table: str) -> dict[str, set[str]]:
    """By column, the words that a CHECK constraint of it alone permits."""
    return {column: words(text) for column, text in admin.execute(CONSTRAINTS, (table,)) if words(text)}


def test_constraints_and_enumerations_have_the_same_words(admin: Connection) -> None:
    assert constrained(admin, "ingest.objects") == {
        "state": set(ObjectState),
        "loaded_as": LOADED,
        "discovered_by": {*get_args(DiscoveredBy)},
    }
    assert constrained(admin, "ingest.rejects") == {
        "status": {*get_args(Status)},
        "kind": {*get_args(Kind)},
    }
    assert constrained(admin, "ingest.snapshots") == {"state": set(SnapshotState)}


def test_every_merge_reports_words_that_are_known_and_all_of_them_occur() -> None:
    merges = list((Path(SQL) / "ingest" / "loading").glob("merge_*.sql"))
    assert len(merges) == 2
    assert {word for file in merges for word in MERGED.findall(file.read_text("utf-8"))} == {*Merged}


def test_sql_names_no_state_that_is_unknown() -> None:
    named = {
        word
        for file in Path(SQL).rglob("*.sql")
        if "migrations" not in file.parts and "ingest.objects" in (text := file.read_text("utf-8"))
        for found in IN_STATE.findall(text)
        for word in words(found)
    }
    # Some of these statements name the states of snapshots, too.
    assert named - {*SnapshotState} == {*ObjectState}


@pytest.mark.parametrize("before", ObjectState)
def test_only_listed_transitions_happen(admin: Connection, before: ObjectState) -> None:
    possible = set()
    for number, after in enumerate(ObjectState):
        admin.execute(INSERT, {"id": number, "state": before})
        try:
            admin.execute(MOVE, {"id": number, "state": after})
            possible.add(after)
        except psycopg.errors.CheckViolation as error:
            assert error.diag.constraint_name == "object_transitions"
    assert possible == TRANSITIONS[before] | {before}


def test_every_state_can_be_reached_and_left() -> None:
    assert TRANSITIONS.keys() == {*ObjectState}
    reached = {*FIRST}
    for _ in ObjectState:
        reached |= {after for before in reached for after in TRANSITIONS[before]}
    assert reached == {*ObjectState}
    assert all(TRANSITIONS.values()), "an object can always be loaded again"


def test_a_word_that_is_not_known_is_an_error() -> None:
    outcome = Outcome(1, "key")
    for word in Merged:
        outcome.count(word, 1, 0)
    assert outcome.inserted + outcome.updated + outcome.unchanged + outcome.stale == len(Merged)
    with pytest.raises(ValueError, match="moved"):
        outcome.count("moved", 1, 0)
