"""Bad rows: quarantined one by one, superseded by newer good ones, and when a file is refused whole."""

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from pipeline_project.errors import Permanent
from pipeline_project.ingest import ledger
from pipeline_project.ingest.ledger import replays as replay
from pipeline_project.ingest.ledger.replays import Objects
from pipeline_project.ingest.loading import loader as load
from pipeline_project.ingest.loading import worker
from pipeline_project.ingest.loading.transaction import LoadTransaction
from pipeline_project.ingest.rejects import rejected_rows as quarantine
from pipeline_project.ingest.rejects.rejected_rows import Selection
from pipeline_project_tests.fix_ingest import LENIENT, MENDED, Rows, register
from pipeline_project_tests.fix_postgres import ADVISORY_LOCKS, FreshDatabase
from pipeline_project_tests.landing import Landing, ingest


def statuses(rows: Rows) -> list[tuple[Any, ...]]:
    return rows(
        "SELECT record_key, status, settled_at IS NOT NULL FROM ingest.rejects ORDER BY record_key, object_id, ordinal"
    )


def test_a_reject_tells_row_place_and_all_errors(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    text = b'{"id": 1, "name": "A"}\n{"id": 2, "revenue": -1, "employees": "x"}\n{"id": 3, "name": "C"}\n'
    ingest(database.loader, landing, landing.put("legacy-data/a", text))
    assert rows(
        "SELECT key, ordinal, line, raw, raw_complete, status FROM ingest.rejects JOIN ingest.objects USING (object_id)"
    ) == [("legacy-data/a", 2, 2, b'{"id": 2, "revenue": -1, "employees": "x"}', True, "open")]
    assert rows(
        "SELECT e ->> 'field', e ->> 'rule', e ->> 'message' <> '' FROM ingest.rejects, jsonb_array_elements(errors) e ORDER BY 1"
    ) == [
        ("employees", "not_a_plain_number", True),
        ("name", "missing", True),
        ("revenue", "greater_than_equal", True),
    ]


@pytest.mark.parametrize(
    "bad",
    [
        {"id": 2, "name": "B", "revenue": -1},
        {"id": 2, "name": "B", "revenue": -1, "updated_at": "2024-06-01T00:00:00Z"},
        {"id": 2, "name": "B", "updated_at": "2099-01-01T00:00:00Z"},
        {"id": 2, "name": "B", "updated_at": "31/12/2024"},
        {"id": 2},
    ],
)
def test_a_newer_good_row_supersedes_a_reject(
    database: FreshDatabase, landing: Landing, rows: Rows, bad: dict[str, Any]
) -> None:
    others = [{"id": 1, "name": "A"}, {"id": 3, "name": "C"}]
    ingest(database.loader, landing, landing.put("legacy-data/1", [bad, *others]))
    assert statuses(rows) == [("legacy_2", "open", False)]
    mended = {"id": 2, "name": "B"}
    if "2024-06" in str(bad.get("updated_at")):
        mended["updated_at"] = bad["updated_at"]  # mended, but not touched in the source
    ingest(database.loader, landing, landing.put("legacy-data/2", [mended]))
    assert statuses(rows) == [("legacy_2", "superseded", True)]


def test_an_older_good_row_does_not_supersede_a_reject(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    old = landing.put("legacy-data/1", [{"id": 2, "name": "B"}])
    ingest(database.loader, landing, landing.put("legacy-data/2", [{"id": 2}, {"id": 1, "name": "A"}]))
    ingest(database.loader, landing, old)
    assert statuses(rows) == [("legacy_2", "open", False)]


def test_replay_after_a_mapping_fix_reloads_just_the_rejected_rows(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, LENIENT)
    ingest(
        database.loader,
        landing,
        landing.put("legacy-data/a", [{"id": 1, "name": "A"}, {"id": 2, "title": "B"}, {"id": 3}]),
    )
    register(monkeypatch, MENDED)
    with database.loader.connect(autocommit=True) as connection:
        result = quarantine.replay(connection, Selection(source="legacy"))
    assert (result.resolved, result.still_bad, result.not_tried) == (1, 1, 0)
    assert statuses(rows) == [("legacy_2", "resolved", True), ("legacy_3", "open", False)]
    assert rows("SELECT canonical_id, name FROM canonical.entities ORDER BY 1") == [
        ("legacy_1", "A"),
        ("legacy_2", "B"),
    ]
    assert rows("SELECT state, records, inserted, rejected FROM ingest.objects") == [("loaded_with_rejects", 3, 2, 1)]
    assert landing.gets == 1


TIMES = ["2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"]


@pytest.mark.parametrize("times", [[None, None], TIMES])
@pytest.mark.parametrize("bad_first", [True, False])
def test_of_an_object_the_last_word_counts_after_a_replay_of_its_rejects(
    database: FreshDatabase,
    landing: Landing,
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
    times: list[str | None],
    bad_first: bool,
) -> None:
    """Whichever of two records of an entity was the bad one, the object says in the end what all of it would."""
    names = ["title", "name"] if bad_first else ["name", "title"]
    said = [
        {"id": 1, name: f"of {at}, {name}", "updated_at": at}
        for name, at in zip(names, times, strict=True)
    ]  # fmt: skip
    seen = landing.put("legacy-data/a", [*said, {"id": 2, "name": "B"}])
    ingest(database.loader, landing, seen)
    register(monkeypatch, MENDED)
    with database.loader.connect(autocommit=True) as connection:
        assert quarantine.replay(connection, Selection(source="legacy")).resolved == (1 if names[1] == "title" else 0)
    state = "SELECT canonical_id, name, ordinal, version, source_updated_at FROM canonical.entities ORDER BY 1"
    after, history = rows(state), rows("SELECT count(*) FROM canonical.entity_versions")
    with database.loader.connect() as connection:
        replay.requeue(connection, Objects(source="legacy"))
    ingest(database.loader, landing)
    assert rows(state) == after
    assert rows("SELECT count(*) FROM canonical.entity_versions") == history
    assert after[0][1] == f"of {times[1]}, {names[1]}"


def test_a_replayed_row_does_not_overrule_a_newer_one_of_its_object(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was thought to be of the object's time, while its own could not be read."""
    older = {"id": 1, "title": "older", "changed": TIMES[0]}
    newer = {"id": 1, "name": "newer", "updated_at": TIMES[1]}
    ingest(database.loader, landing, landing.put("legacy-data/a", [older, newer, {"id": 2, "name": "B"}]))
    register(monkeypatch, MENDED)
    with database.loader.connect(autocommit=True) as connection:
        assert quarantine.replay(connection, Selection(source="legacy")).resolved == 1
    assert rows("SELECT name, version FROM canonical.entities WHERE source_id = '1'") == [("newer", 1)]
    assert rows("SELECT state, records, inserted, stale, rejected FROM ingest.objects") == [("loaded", 3, 2, 1, 0)]


def test_replayed_rejects_of_one_entity_add_up(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them supersedes the other while they are replayed; both are good now."""
    first, second = ({"id": 2, "title": f"B of {at}", "updated_at": at} for at in TIMES)
    ingest(
        database.loader,
        landing,
        landing.put("legacy-data/a", [first, second, {"id": 1, "name": "A"}, {"id": 3, "name": "C"}]),
        landing.put("legacy-data/b", [{**first, "title": "B of b"}, {"id": 1, "name": "A"}]),
    )
    register(monkeypatch, MENDED)
    with database.loader.connect(autocommit=True) as connection:
        result = quarantine.replay(connection, Selection(source="legacy"))
    # Which object comes first is a matter of their ids; the reject of `b` may be superseded before it is tried.
    assert result.resolved + result.superseded == 3 and result.still_bad == result.not_tried == 0
    counts = "records, inserted + updated + unchanged + stale, rejected"
    assert rows(f"SELECT {counts} FROM ingest.objects WHERE key LIKE '%a'") == [(4, 4, 0)]
    assert rows("SELECT name FROM canonical.entities WHERE source_id = '2'") == [(f"B of {TIMES[1]}",)]
    assert rows("SELECT count(*) FROM ingest.rejects WHERE status = 'open'") == [(0,)]


def test_a_reject_that_is_still_bad_takes_the_time_that_can_be_read_now(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {"id": 2, "changed": TIMES[0], "revenue": -1}
    ingest(database.loader, landing, landing.put("legacy-data/a", [bad, {"id": 1, "name": "A"}]))
    register(monkeypatch, MENDED)
    with database.loader.connect(autocommit=True) as connection:
        assert quarantine.replay(connection, Selection(source="legacy")).still_bad == 1
    ingest(database.loader, landing, landing.put("legacy-data/b", [{"id": 2, "name": "B", "changed": TIMES[1]}]))
    assert statuses(rows) == [("legacy_2", "superseded", True)]


def test_a_later_row_of_the_same_object_supersedes_a_reject(
    database: FreshDatabase, landing: Landing, rows: Rows
) -> None:
    ingest(database.loader, landing, landing.put("legacy-data/a", [{"id": 2}, {"id": 2, "name": "B"}]))
    ingest(database.loader, landing, landing.put("legacy-data/b", [{"id": 3, "name": "C"}, {"id": 3}]))
    assert statuses(rows) == [("legacy_2", "superseded", True), ("legacy_3", "open", False)]


def test_a_reject_that_there_never_was_is_named(database: FreshDatabase) -> None:
    wanted = pytest.raises(Permanent, match="no such reject: 7, 99; `pipeline rejects list`")
    with database.loader.connect(autocommit=True) as connection, wanted:
        quarantine.replay(connection, Selection(reject_ids=[99, 7]))


def test_a_discarded_reject_stays_so(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    seen = landing.put("legacy-data/a", [{"id": 1, "name": "A"}, {"id": 2}])
    ingest(database.loader, landing, seen)
    with database.loader.connect(autocommit=True) as connection:
        assert quarantine.discard(connection, Selection(key_prefix="legacy-data/")) == 1
        assert quarantine.discard(connection, Selection(key_prefix="legacy-data/")) == 0
        ledger.replay(connection, [seen.object_id])
    ingest(database.loader, landing)
    assert statuses(rows) == [("legacy_2", "discarded", True)]


def test_a_file_with_too_many_bad_rows_is_refused_whole(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    half = [{"id": 1, "name": "A"}, {"id": 2}]
    outcomes = ingest(
        database.loader,
        landing,
        landing.put("legacy-data/half", half),
        landing.put("legacy-data/more", [*half, {"id": 3}]),
        landing.put("crm-data/neighbour", [{"id": 9, "name": "N"}]),
    )
    assert [outcomes[f"{key}"].state for key in ("legacy-data/half", "legacy-data/more", "crm-data/neighbour")] == [
        "loaded_with_rejects", "failed", "loaded",
    ]  # fmt: skip
    assert rows("SELECT canonical_id FROM canonical.entities ORDER BY 1") == [("crm_9",), ("legacy_1",)]
    assert rows(
        "SELECT error_code, error_message LIKE '%2 of 3 records%' FROM ingest.objects WHERE state = 'failed'"
    ) == [("too_many_rejects", True)]
    # What was bad can be looked at all the same.
    assert rows("SELECT count(*) FROM ingest.rejects") == [(3,)]


def test_the_threshold_is_the_sources_own(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, LENIENT)
    seen = landing.put("legacy-data/a", [{"id": 1, "name": "A"}, {"id": 2}, {"id": 3}])
    assert ingest(database.loader, landing, seen)["legacy-data/a"].state == "loaded_with_rejects"


@pytest.mark.parametrize("small", [1 << 20, 0])
def test_rejects_of_a_refused_object_are_resolved_by_a_replay(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(worker, "SMALL", small)
    seen = landing.put("legacy-data/a", [{"id": 1, "title": "A"}, {"id": 2, "title": "B"}, {"id": 3}])
    ingest(database.loader, landing, seen)
    assert [status for _, status, _ in statuses(rows)] == ["open"] * 3
    register(monkeypatch, MENDED)
    with database.loader.connect() as connection:
        replay.requeue(connection, Objects(source="legacy"))
    assert ingest(database.loader, landing)["legacy-data/a"].inserted == 2
    assert [status for _, status, _ in statuses(rows)] == ["resolved", "resolved", "open"]


@pytest.mark.parametrize("together", [True, False])
def test_what_is_kept_of_a_refused_object_does_not_depend_on_its_neighbours(
    database: FreshDatabase, landing: Landing, rows: Rows, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not together:
        monkeypatch.setattr(worker, "SMALL", 0)
    monkeypatch.setattr("pipeline_project.ingest.decoding.limits.CHUNK_RECORDS", 1)
    monkeypatch.setattr("pipeline_project.ingest.loading.microbatches.MICRO_BATCH_RECORDS", 1)
    text = msgspec.json.encode([{"id": 1, "name": "A"}, {"id": 2}, {"id": 3, "name": "A"}])
    ingest(
        database.loader,
        landing,
        landing.put("legacy-data/truncated", text[:-1]),
        landing.put("legacy-data/count", b'{"records": ' + text + b', "metadata": {"recordCount": 4}}'),
        landing.put("legacy-data/source", b'{"records": ' + text + b', "metadata": {"sourceSystem": "crm"}}'),
    )
    assert rows("SELECT count(*) FROM ingest.rejects") == rows("SELECT count(*) FROM canonical.entities") == [(0,)]
    assert rows("SELECT count(*) FROM ingest.objects WHERE state = 'failed'") == [(3,)]


@pytest.mark.parametrize("order", [1, -1])
def test_a_refused_object_supersedes_nothing(database: FreshDatabase, landing: Landing, rows: Rows, order: int) -> None:
    """Its good rows are not there, even those that were known already."""
    ingest(database.loader, landing, landing.put("legacy-data/1", [{"id": 2, "name": "B"}, {"id": 1, "name": "A"}]))
    ingest(database.loader, landing, landing.put("legacy-data/2", [{"id": 2}, {"id": 1, "name": "A"}]))
    assert statuses(rows) == [("legacy_2", "open", False)]
    refused = landing.put("legacy-data/3", [{"id": 2, "name": "B"}, {"id": 5}, {"id": 6}])
    neighbour = landing.put("legacy-data/4", [{"id": 7, "name": "N"}])
    ingest(database.loader, landing, *[refused, neighbour][::order])
    assert statuses(rows)[0] == ("legacy_2", "open", False)
    assert rows(
        "SELECT count(*) FROM canonical.entity_confirmations c JOIN ingest.objects o USING (object_id) WHERE o.key LIKE '%3'"
    ) == [(0,)]


def test_a_ragged_row_is_read_again_with_its_object_only(database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    ingest(database.loader, landing, landing.put("legacy-data/a", b"id,name\n1,A\n2,B\n3,C,D\n"))
    with database.loader.connect(autocommit=True) as connection:
        assert quarantine.replay(connection, Selection(source="legacy")).not_tried == 1
    assert rows("SELECT errors->0->>'rule', status FROM ingest.rejects") == [("ragged_row", "open")]


def test_a_replay_waits_for_who_loads_and_takes_nothing_that_he_needs(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load settles rejects of its source while it has its turn: whoever replays them must not have locked them before."""
    bad = {"id": 2, "name": "B", "revenue": -1}
    ingest(database.loader, landing, landing.put("legacy-data/a", [{"id": 1, "name": "A"}, bad], second=0))
    has_turn, may_go_on = threading.Event(), threading.Event()
    run = LoadTransaction.run

    def run_slowly(self: LoadTransaction, batches: Any, *, whole: bool = False) -> None:
        if threading.current_thread().name == "loading":
            has_turn.set()
            assert may_go_on.wait(120)
        run(self, batches, whole=whole)

    def loading() -> ledger.Outcome:
        threading.current_thread().name = "loading"
        good = landing.put("legacy-data/b", [{"id": 2, "name": "B"}], second=5)
        return ingest(database.loader, landing, good)["legacy-data/b"]

    def replaying() -> quarantine.ReplayResult:
        with database.loader.connect(autocommit=True) as connection:
            return quarantine.replay(connection, Selection(source="legacy"))

    monkeypatch.setattr(LoadTransaction, "run", run_slowly)
    with ThreadPoolExecutor(2) as pool:
        load_done = pool.submit(loading)
        assert has_turn.wait(120)
        replay_done = pool.submit(replaying)
        while not rows(f"SELECT FROM {ADVISORY_LOCKS} AND NOT granted"):
            assert not replay_done.done()
        may_go_on.set()
        assert load_done.result(120).state == "loaded"
        assert replay_done.result(120).superseded == 1
    assert rows("SELECT record_key, status FROM ingest.rejects") == [("legacy_2", "superseded")]


def test_the_memory_of_a_replay_does_not_grow_with_its_rows(
    database: FreshDatabase, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, LENIENT)
    bad = [{"id": number, "title": "B", "text": "x" * 60_000} for number in range(200)]
    ingest(database.loader, landing, landing.put("legacy-data/a", [{"id": "good", "name": "A"}] * 100 + bad))
    register(monkeypatch, MENDED)
    monkeypatch.setattr(quarantine, "PAGE", 10)
    monkeypatch.setattr(load, "REJECTS_TOGETHER", 10)
    with database.loader.connect(autocommit=True) as connection:
        tracemalloc.start()
        try:
            result = quarantine.replay(connection, Selection(source="legacy"))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert result.resolved == 200
    assert peak < 6_000_000, f"{peak:,}"


def test_a_row_of_a_later_page_may_win_though_an_earlier_one_superseded_it(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place in time was not known when it was rejected: the mended mapping reads it."""
    register(monkeypatch, LENIENT)
    times = ["2025-01-01T06:00:00Z", "2025-01-01T07:00:00Z"]
    bad = [{"id": 1, "title": name, "changed": at} for name, at in zip(["older", "newer"], times, strict=True)]
    ingest(database.loader, landing, landing.put("legacy-data/a", [{"id": 2, "name": "B"}, *bad], second=0))
    register(monkeypatch, MENDED)
    monkeypatch.setattr(quarantine, "PAGE", 1)
    monkeypatch.setattr(load, "REJECTS_TOGETHER", 1)
    with database.loader.connect(autocommit=True) as connection:
        assert quarantine.replay(connection, Selection(source="legacy")).resolved == 2
    assert rows("SELECT name FROM canonical.entities WHERE source_id = '1'") == [("newer",)]
