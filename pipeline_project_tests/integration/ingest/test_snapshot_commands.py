"""`pipeline snapshots` as a person types it."""

import dataclasses

import pytest

from pipeline_project.errors import Permanent
from pipeline_project.sources.crm import SOURCE as CRM
from pipeline_project.sources.snapshot import Snapshot
from pipeline_project_tests.fix_ingest import Rows, register
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.integration.ingest.test_commands import Invoke, pipeline, said
from pipeline_project_tests.landing import Landing, ingest

__all__ = ["pipeline"]
DECLARED = Snapshot(keys=r"crm-data/full/(?P<snapshot>\d+)/", as_of="snapshot:%Y%m%d", complete="_SUCCESS")


def test_a_person_decides_about_a_held_snapshot(
    pipeline: Invoke,
    database: FreshDatabase,
    landing: Landing,
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(monkeypatch, dataclasses.replace(CRM, snapshot=DECLARED))
    ingest(
        database.loader,
        landing,
        landing.put("crm-data/old", [{"id": n, "name": "A"} for n in (1, 2)], second=-86_400 * 9),
    )
    ingest(
        database.loader,
        landing,
        landing.put("crm-data/full/20241231/a", [{"id": 1, "name": "A", "updated_at": "2024-01-01"}]),
        landing.put("crm-data/full/20241231/_SUCCESS", b""),
    )
    said(pipeline("snapshots", "list"), "20241231", "held", "it would delete 1 of 2 (50.0%)")
    said(pipeline("snapshots", "show", "20241231"), "would delete 1", "crm-data/full/20241231/_SUCCESS")
    said(pipeline("snapshots", "approve", "20241231"), "closed", "deletes 1", "approved 20")
    assert rows("SELECT canonical_id FROM canonical.entities WHERE deleted") == [("crm_2",)]
    said(pipeline("explain", "crm_2"), "crm_2 is deleted", "snapshot 20241231")
    assert "20241231" not in pipeline("snapshots", "list").output
    said(pipeline("snapshots", "list", "--all"), "20241231")
    (snapshot_id,) = rows("SELECT snapshot_id FROM ingest.snapshots")[0]
    said(pipeline("snapshots", "discard", "--", snapshot_id), "discarded")
    assert rows("SELECT canonical_id FROM canonical.entities WHERE deleted") == []
    unknown = pipeline("snapshots", "show", "x")
    assert isinstance(unknown.exception, Permanent)
    assert "There is no snapshot 'x'" in str(unknown.exception)
