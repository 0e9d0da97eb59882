"""Notes that a state still held do not grow with every export, and forgetting them changes no state."""

from datetime import timedelta
from typing import Any

import pytest

from pipeline_project.ingest.decoding import limits
from pipeline_project.ingest.loading import microbatches, retention, worker
from pipeline_project.ingest.loading.retention import prune_confirmations
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import BEGINNING, Landing, ingest


def positions(database: FreshDatabase) -> list[Any]:
    with database.owner.connect() as connection:
        return connection.execute(
            "SELECT object_modified_at FROM canonical.entity_confirmations ORDER BY object_modified_at"
        ).fetchall()


def history(database: FreshDatabase) -> list[Any]:
    with database.owner.connect() as connection:
        return connection.execute(
            """SELECT canonical_id, version, name, source_updated_at, NULL FROM canonical.entities
            UNION ALL
            SELECT canonical_id, v.version, v.name, v.source_updated_at, valid_to
            FROM canonical.entity_versions v JOIN canonical.entities USING (entity_id)
            ORDER BY 1, 2"""
        ).fetchall()


def prune(database: FreshDatabase, second: int) -> int:
    with database.loader.connect(autocommit=True) as connection:
        return prune_confirmations(connection, BEGINNING + timedelta(seconds=second))


@pytest.mark.parametrize("blocks", [1, 500])
def test_the_last_note_of_each_state_stays(
    database: FreshDatabase, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BLOCKS", blocks)
    landing = Landing()
    for second, name in enumerate("AAAABBBB"):
        ingest(database.loader, landing, landing.put(f"legacy-data/{second}", [{"id": 1, "name": name}], second=second))
    before = history(database)
    assert prune(database, 0) == 0
    assert prune(database, 8) == 4
    assert [at for (at,) in positions(database)] == [BEGINNING + timedelta(seconds=s) for s in (3, 7)]
    assert history(database) == before
    assert prune(database, 8) == 0


def test_what_is_younger_than_the_horizon_stays(database: FreshDatabase) -> None:
    landing = Landing()
    for second in range(5):
        ingest(database.loader, landing, landing.put(f"legacy-data/{second}", [{"id": 1, "name": "A"}], second=second))
    assert prune(database, 3) == 2
    assert [at for (at,) in positions(database)] == [BEGINNING + timedelta(seconds=s) for s in (3, 4)]


def test_a_row_that_comes_after_the_notes_are_gone_still_loses(database: FreshDatabase) -> None:
    landing = Landing()
    for second in (0, 10, 20, 30):
        ingest(database.loader, landing, landing.put(f"legacy-data/{second}", [{"id": 1, "name": "A"}], second=second))
    assert prune(database, 40) == 2
    ingest(database.loader, landing, landing.put("legacy-data/late", [{"id": 1, "name": "B"}], second=15))
    assert [(name, at) for _, _, name, at, _ in history(database)] == [
        ("A", BEGINNING),
        ("B", BEGINNING + timedelta(seconds=15)),
        ("A", BEGINNING + timedelta(seconds=30)),
    ]


def test_what_an_object_said_twice_leaves_the_last_word(
    database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two of its micro-batches, so that both are kept. A row that is later than that still loses."""
    monkeypatch.setattr(limits, "CHUNK_RECORDS", 1)
    monkeypatch.setattr(microbatches, "MICRO_BATCH_RECORDS", 1)
    monkeypatch.setattr(worker, "SMALL", 0)
    landing = Landing()
    record = {"id": 1, "name": "A"}
    ingest(database.loader, landing, landing.put("legacy-data/0", [record], second=0))
    ingest(database.loader, landing, landing.put("legacy-data/1", [record, record], second=10))
    assert prune(database, 100) == 1
    assert [at for (at,) in positions(database)] == [BEGINNING + timedelta(seconds=10)]
    ingest(database.loader, landing, landing.put("legacy-data/late", [{"id": 1, "name": "B"}], second=5))
    assert [name for _, _, name, *_ in history(database)] == ["A", "B", "A"]


def test_few_blocks_at_a_time_hold_many_confirmations(database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BLOCKS", 1)
    monkeypatch.setattr(retention, "CONFIRMATIONS", 200)
    landing = Landing()
    content = [{"id": number, "name": "A"} for number in range(300)]
    for second in range(4):
        ingest(database.loader, landing, landing.put(f"legacy-data/{second}", content, second=second))
    assert prune(database, 4) == 600
    assert len(positions(database)) == 300
