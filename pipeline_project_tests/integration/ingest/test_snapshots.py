"""What a complete export deletes, when it waits for a person, and what its decisions do."""

import dataclasses
import json
from datetime import timedelta
from typing import Any

import pytest

from pipeline_project.errors import Permanent
from pipeline_project.ingest.ledger import SnapshotState, list_snapshots
from pipeline_project.ingest.loading import prune_confirmations, snapshots
from pipeline_project.ingest.rejects import rejected_rows as quarantine
from pipeline_project.ingest.rejects.rejected_rows import Selection
from pipeline_project.sources.crm import SOURCE as CRM
from pipeline_project.sources.snapshot import Snapshot
from pipeline_project_tests.fix_ingest import Rows, register
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import BEGINNING, Landing, discover, ingest

BY_MARKER = Snapshot(
    keys=r"crm-data/full/(?P<snapshot>[^/]+)/", as_of="snapshot:%Y%m%d", complete="_SUCCESS", max_deletes=0.5
)
SINGLE = Snapshot(keys=r"crm-data/full/", max_deletes=0.5)


def declare(monkeypatch: pytest.MonkeyPatch, declared: Snapshot) -> None:
    register(monkeypatch, dataclasses.replace(CRM, snapshot=declared, reject_threshold=0.9))


def record(number: int, name: str = "A", updated: str = "2024-01-01T00:00:00Z") -> dict[str, Any]:
    return {"id": number, "name": name, "updated_at": updated}


def current(rows: Rows) -> dict[str, bool]:
    """Whether each entity is deleted."""
    return dict(rows("SELECT canonical_id, deleted FROM canonical.entities ORDER BY 1"))


def states(rows: Rows) -> list[tuple[Any, ...]]:
    return rows("SELECT name, state, parts, members, deletes, restores FROM ingest.snapshots ORDER BY name")


def test_what_is_missing_is_deleted_when_the_marker_has_arrived(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, BY_MARKER)
    ingest(database.loader, landing, landing.put("crm-data/old.json", [record(n) for n in (1, 2, 3)]))
    part = landing.put("crm-data/full/20241230/a.json", [record(1), record(2)])
    ingest(database.loader, landing, part)
    assert states(rows) == [("20241230", "open", 1, 2, 0, 0)]
    assert current(rows) == {"crm_1": False, "crm_2": False, "crm_3": False}
    marker = landing.put("crm-data/full/20241230/_SUCCESS", b"")
    assert ingest(database.loader, landing, marker)[marker.key].records == 0
    assert states(rows) == [("20241230", "closed", 1, 2, 1, 0)]
    assert current(rows) == {"crm_1": False, "crm_2": False, "crm_3": True}
    assert rows("SELECT name, source_updated_at = '2024-12-30+00' FROM canonical.entities WHERE deleted") == [
        ("A", True)
    ]
    # Delivered again, nothing changes.
    ingest(database.loader, landing, part, marker)
    assert states(rows) == [("20241230", "closed", 1, 2, 1, 0)]


def test_a_part_that_comes_after_closing_brings_its_entities_back(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, BY_MARKER)
    ingest(database.loader, landing, landing.put("crm-data/old.json", [record(n) for n in (1, 2, 3)]))
    ingest(
        database.loader,
        landing,
        landing.put("crm-data/full/20241230/a.json", [record(1), record(2)]),
        landing.put("crm-data/full/20241230/_SUCCESS", b""),
    )
    assert current(rows)["crm_3"]
    ingest(database.loader, landing, landing.put("crm-data/full/20241230/b.json", [record(3)]))
    assert current(rows) == {"crm_1": False, "crm_2": False, "crm_3": False}
    assert states(rows) == [("20241230", "closed", 2, 3, 0, 0)]
    assert rows("SELECT count(*) FROM canonical.entity_versions") == [(0,)]


def test_more_deletions_than_allowed_wait_for_a_person(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, BY_MARKER)
    ingest(database.loader, landing, landing.put("crm-data/old.json", [record(n) for n in range(1, 6)]))
    full = [
        landing.put("crm-data/full/20241230/a.json", [record(1), record(9)]),
        landing.put("crm-data/full/20241230/_SUCCESS", b""),
    ]
    ingest(database.loader, landing, *full)
    assert states(rows) == [("20241230", "held", 1, 2, 4, 0)]
    assert not any(current(rows).values())
    with database.loader.connect(autocommit=True) as connection:
        (held,) = list_snapshots(connection)
        assert held.reason == "it would delete 4 of 6 (66.7%), and at most 50.0% are allowed without a decision"
        before = rows("SELECT version FROM ingest.data_versions")
        assert snapshots.approve(connection, held).state == SnapshotState.CLOSED
        assert rows("SELECT version FROM ingest.data_versions") > before
        with pytest.raises(Permanent, match=r"is closed\. Only a held snapshot can be approved"):
            snapshots.approve(connection, held)
        deleted = {f"crm_{n}": n in (2, 3, 4, 5) for n in (1, 2, 3, 4, 5, 9)}
        assert current(rows) == deleted
        assert snapshots.discard(connection, held).state == SnapshotState.DISCARDED
    assert not any(current(rows).values())
    assert rows("SELECT count(*) FROM ingest.snapshot_members") == [(0,)]
    ingest(database.loader, landing, landing.put("crm-data/full/20241230/c.json", [record(1)]))
    assert not any(current(rows).values())


def test_a_rejected_record_counts_as_a_member_if_its_id_can_be_read(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, SINGLE)
    ingest(database.loader, landing, landing.put("crm-data/old.json", [record(n) for n in (1, 2, 3)], second=0))
    content = [record(1), {**record(2), "updated_at": "yesterday"}, record(8)]
    ingest(database.loader, landing, landing.put("crm-data/full/a.json", content, second=50))
    assert current(rows) == {"crm_1": False, "crm_2": False, "crm_3": True, "crm_8": False}
    # The entity of a rejected record can be loaded later, from an older file.
    content = [record(1), {**record(7), "updated_at": "yesterday"}, record(2), record(8)]
    ingest(database.loader, landing, landing.put("crm-data/full/b.json", content, second=60))
    ingest(database.loader, landing, landing.put("crm-data/late.json", [record(7), record(6)], second=55))
    assert current(rows) == {f"crm_{n}": n in (3, 6) for n in (1, 2, 3, 6, 7, 8)}


def test_a_rejected_record_without_an_id_holds_the_snapshot_until_it_is_settled(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, SINGLE)
    ingest(database.loader, landing, landing.put("crm-data/old.json", [record(n) for n in (1, 2)], second=0))
    lines = "\n".join([json.dumps(record(1)), "{no json}", json.dumps(record(4))]).encode()
    ingest(database.loader, landing, landing.put("crm-data/full/a.json", lines, second=50))
    assert not any(current(rows).values())
    with database.loader.connect(autocommit=True) as connection:
        (held,) = list_snapshots(connection, states=[SnapshotState.HELD])
        assert held.reason == "1 rejected records have no ID that can be read, so what is absent is not known"
        assert snapshots.close_unfinished(connection) == 0
        quarantine.discard(connection, Selection(source="crm"))
        assert snapshots.close_unfinished(connection) == 1
    assert current(rows) == {"crm_1": False, "crm_2": True, "crm_4": False}


def test_an_empty_snapshot_deletes_nothing_without_a_decision(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, dataclasses.replace(SINGLE, max_deletes=1))
    ingest(database.loader, landing, landing.put("crm-data/old.json", [record(1)], second=0))
    ingest(database.loader, landing, landing.put("crm-data/full/a.json", b"[]", second=50))
    assert current(rows) == {"crm_1": False}
    with database.loader.connect(autocommit=True) as connection:
        (held,) = list_snapshots(connection)
        assert (held.state, held.reason) == (SnapshotState.HELD, "it has no records")
        snapshots.approve(connection, held)
    assert current(rows) == {"crm_1": True}


def test_a_manifest_lists_the_parts(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, dataclasses.replace(BY_MARKER, complete="manifest"))
    ingest(database.loader, landing, landing.put("crm-data/old.json", [record(n) for n in (1, 2, 3)]))
    manifest = {"entries": [{"url": f"s3://landing/crm-data/full/20241230/{name}"} for name in ("a", "b")]}
    ingest(
        database.loader,
        landing,
        landing.put("crm-data/full/20241230/a", [record(1)]),
        landing.put("crm-data/full/20241230/manifest.json", manifest),
    )
    (waiting,) = rows("SELECT state, reason FROM ingest.snapshots")
    assert waiting == ("open", "s3://landing/crm-data/full/20241230/b is missing")
    ingest(database.loader, landing, landing.put("crm-data/full/20241230/b", [record(2)]))
    assert current(rows) == {"crm_1": False, "crm_2": False, "crm_3": True}


@pytest.mark.parametrize(
    ("as_of", "key", "message"),
    [
        ("snapshot:%Y%m%d", "crm-data/full/today/a", "the snapshot's name 'today' is not a time as '%Y%m%d'"),
        ("snapshot:%Y%m%d", "crm-data/full/20991231/a", "more than a day after its upload"),
        ("metadata.exportedAt", "crm-data/full/x/a", "has no value for metadata.exportedAt"),
    ],
)
def test_a_snapshot_without_a_readable_time_is_refused(
    database: FreshDatabase, landing: Landing, monkeypatch: pytest.MonkeyPatch, as_of: str, key: str, message: str
) -> None:
    declare(monkeypatch, dataclasses.replace(BY_MARKER, as_of=as_of))
    outcome = ingest(database.loader, landing, landing.put(key, {"records": [record(1)], "metadata": {}}))[key]
    assert outcome.fault is not None
    assert outcome.fault.code == "bad_snapshot"
    assert message in outcome.fault.message


def test_the_earliest_time_in_the_parts_is_the_time_of_the_snapshot(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, dataclasses.replace(BY_MARKER, as_of="metadata.exportedAt"))
    for name, at in (("a", "2024-12-30T12:00:00+02:00"), ("b", "2024-12-30T10:05:00Z")):
        envelope = {"records": [record(1)], "metadata": {"exportedAt": at}}
        ingest(database.loader, landing, landing.put(f"crm-data/full/x/{name}", envelope))
    ingest(database.loader, landing, landing.put("crm-data/full/x/_SUCCESS", b""))
    assert rows("SELECT state, as_of = '2024-12-30 10:00+00' FROM ingest.snapshots") == [("closed", True)]


def test_a_failed_part_keeps_a_snapshot_open(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, BY_MARKER)
    ingest(database.loader, landing, landing.put("crm-data/old.json", [record(n) for n in (1, 2)]))
    ingest(
        database.loader,
        landing,
        landing.put("crm-data/full/20241230/a", [record(1)]),
        landing.put("crm-data/full/20241230/b", b"[{"),
        landing.put("crm-data/full/20241230/_SUCCESS", b""),
    )
    assert rows("SELECT state, reason FROM ingest.snapshots") == [("open", "crm-data/full/20241230/b is failed")]
    ingest(database.loader, landing, landing.put("crm-data/full/20241230/b", [record(5)]))
    assert current(rows) == {"crm_1": False, "crm_2": True, "crm_5": False}


def test_forgotten_members_leave_the_marks_that_changed_something(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, SINGLE)
    ingest(database.loader, landing, landing.put("crm-data/a.json", [record(n) for n in (1, 2, 3)], second=0))
    for second, numbers in ((10, (1, 2)), (20, (1, 2, 3)), (30, (1, 3))):
        content = [record(n) for n in numbers]
        ingest(database.loader, landing, landing.put(f"crm-data/full/{second}", content, second=second))
    rows("UPDATE ingest.snapshots SET settled_at = as_of RETURNING 1")
    history = rows("SELECT entity_id, version, deleted FROM canonical.entity_versions ORDER BY 1, 2")
    with database.loader.connect(autocommit=True) as connection:
        before = BEGINNING + timedelta(days=1)
        prune_confirmations(connection, before)
        assert snapshots.forget_snapshots(connection, before) == 2
        assert snapshots.forget_snapshots(connection, before) == 0
    assert rows("SELECT count(DISTINCT snapshot_id) FROM ingest.snapshot_members") == [(1,)]
    # A change of the third entity from before all snapshots is placed behind none of the marks that it knows.
    late = [record(3, "B", "2024-06-01T00:00:00Z")]
    ingest(database.loader, landing, landing.put("crm-data/late.json", late, second=5))
    assert current(rows) == {"crm_1": False, "crm_2": True, "crm_3": False}
    more = rows("SELECT entity_id, version, deleted FROM canonical.entity_versions ORDER BY 1, 2")
    assert {deleted for _, _, deleted in history} <= {deleted for _, _, deleted in more}
    # Not even a part of a forgotten snapshot deletes or brings back anything wrongly.
    ingest(database.loader, landing, *[landing.put("crm-data/full/10", [record(2)], second=11)])
    assert current(rows) == {"crm_1": False, "crm_2": True, "crm_3": False}


def test_an_overdue_event_is_discovered_with_its_snapshot(
    database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The marker waits for a part that is in the ledger and not loaded yet."""
    declare(monkeypatch, BY_MARKER)
    ingest(database.loader, landing, landing.put("crm-data/old.json", [record(n) for n in (1, 2)]))
    waiting = landing.put("crm-data/full/20241230/b", [record(2)])
    part = landing.put("crm-data/full/20241230/a", [record(1)])
    marker = landing.put("crm-data/full/20241230/_SUCCESS", b"")
    discover(database.loader, [waiting])
    rows(f"""
        UPDATE ingest.objects SET state = 'claimed', claimed_by = 'other', claim_expires_at = 'infinity'
        WHERE key = '{waiting.key}' RETURNING 1""")
    rows("SELECT pg_advisory_lock(hashtextextended('other', 0))")
    ingest(database.loader, landing, part, marker)
    assert rows("SELECT state, reason FROM ingest.snapshots") == [("open", f"{waiting.key} is claimed")]
    assert not any(current(rows).values())
    rows("SELECT pg_advisory_unlock(hashtextextended('other', 0))")
    ingest(database.loader, landing)
    assert states(rows) == [("20241230", "closed", 2, 2, 0, 0)]
