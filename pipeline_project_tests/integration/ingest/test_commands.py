"""`pipeline status | rejects | sources | explain | replay | discover` as a person types them, through settings and secrets."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline_project.cli import ingest as cli
from pipeline_project.cli.main import app
from pipeline_project.errors import Permanent
from pipeline_project.settings import Settings
from pipeline_project.sources import registry
from pipeline_project_tests.fix_aws import Account
from pipeline_project_tests.fix_ingest import MENDED, Rows, register
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import Landing, ingest

Invoke = Callable[..., Result]

ROWS = b"""{"id": 1, "name": "A", "revenue": 10}
{"id": 2, "title": "B"}
{"id": 3, "heading": "C", "revenue": "1234.50"}
{"id": 4, "name": "D"}
"""


@pytest.fixture
def pipeline(settings: Settings, database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs the command line; what it says is in `output`."""
    assert database.loader
    monkeypatch.setattr(Settings, "load", lambda: settings)
    return lambda *arguments: CliRunner(env={"COLUMNS": "250"}).invoke(app, [str(each) for each in arguments])


@pytest.fixture
def rejected(database: FreshDatabase, landing: Landing, rows: Rows) -> list[int]:
    """Numbers of the two rejects of an object."""
    ingest(database.loader, landing, landing.put("legacy-data/a", ROWS))
    return [reject_id for (reject_id,) in rows("SELECT reject_id FROM ingest.rejects ORDER BY ordinal")]


def said(answered: Result, *words: str) -> None:
    assert answered.exit_code == 0, answered.output
    for each in words:
        assert each in answered.output


def test_rejects_are_listed_with_object_record_line_and_reason(pipeline: Invoke, rejected: list[int]) -> None:
    said(
        pipeline("rejects", "list"),
        "legacy-data/a",
        "legacy_3",
        "name is required",
    )
    said(pipeline("rejects", "list", "--source", "legacy", "--prefix", "legacy-data/a"), "legacy_2")
    assert "legacy_2" not in pipeline("rejects", "list", "--source", "crm").output
    assert "legacy_2" not in pipeline("rejects", "list", "--prefix", "legacy-data/b").output
    assert "legacy_2" not in pipeline("rejects", "list", "--status", "discarded").output
    wrong = pipeline("rejects", "list", "--status", "lost")
    assert isinstance(wrong.exception, Permanent)
    assert "discarded" in str(wrong.exception)
    assert rejected != []


def test_a_reject_is_shown_as_it_was_sent(pipeline: Invoke, rejected: list[int]) -> None:
    said(
        pipeline("rejects", "show", rejected[1]),
        "legacy-data/a, record 3, line 3 — open",
        "mapping 1, rejected 20",
        "name: is required: an entity has a name (",
        '{"id": 3, "heading": "C", "revenue": "1234.50"}',
    )
    unknown = pipeline("rejects", "show", 999)
    assert "pipeline rejects list" in str(unknown.exception)


def test_rejects_are_replayed_and_discarded(
    pipeline: Invoke, rejected: list[int], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--source" in str(pipeline("rejects", "replay").exception)  # never all by accident
    said(pipeline("rejects", "replay", *rejected), "0 resolved, 2 still bad")
    register(monkeypatch, MENDED)
    said(pipeline("rejects", "replay", "--source", "legacy"), "1 resolved, 1 still bad")
    said(pipeline("rejects", "discard", rejected[1]), "1 discarded")
    said(pipeline("rejects", "discard", rejected[1]), "0 discarded")
    assert rows("SELECT ordinal, status FROM ingest.rejects ORDER BY 1") == [(2, "resolved"), (3, "discarded")]
    assert rows("SELECT name FROM canonical.entities ORDER BY 1") == [("A",), ("B",), ("D",)]
    said(pipeline("rejects", "list", "--status", "all"), "resolved", "discarded")
    said(pipeline("rejects", "show", rejected[1]), "— discarded", ", settled 20")


def test_sources_are_listed(pipeline: Invoke) -> None:
    said(pipeline("sources"), "crm-data/", "erp-data/", "legacy-data/", "50%")


def test_sources_are_listed_with_the_mappings_that_are_in_use(
    pipeline: Invoke, database: FreshDatabase, landing: Landing, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(pipeline("sources"), "entities: not loaded yet", "metrics: not loaded yet")
    ingest(database.loader, landing, landing.put("legacy-data/a", [{"id": 1, "name": "A"}]))
    ((day,),) = rows("SELECT created_at::date::text FROM ingest.mappings")
    said(pipeline("sources"), f"entities: 1 since {day}")
    assert "the next load begins" not in pipeline("sources").output
    register(monkeypatch, MENDED)
    monkeypatch.setattr(cli, "sources", registry.sources)
    said(pipeline("sources"), f"entities: 1 since {day}; it was changed, the next load begins 2")


def test_a_check_counts_as_the_ledger_would_and_writes_nothing(
    pipeline: Invoke, database: FreshDatabase, landing: Landing, rows: Rows, tmp_path: Path
) -> None:
    ingest(database.loader, landing, landing.put("legacy-data/a", [{"id": n, "name": "A"} for n in range(1, 4)]))
    before = rows("SELECT xmin, * FROM canonical.entities ORDER BY 2"), rows("SELECT * FROM ingest.objects")
    folder = tmp_path / "legacy-data"
    folder.mkdir()
    file = folder / "b.json"
    content = [{"id": 1, "name": "A"}, {"id": 2, "name": "A", "revenue": 5}, {"id": 4, "name": "D"}, {"id": 5},
               {"id": 6, "_deleted": True},
               {"id": 3, "name": "older", "updated_at": "2020-01-01"}]  # fmt: skip
    file.write_text(json.dumps(content))
    answered = pipeline("sources", "check", file)
    said(
        answered,
        "legacy-data/b.json would be loaded_with_rejects (array)",
        "revenue",
        "name",
        "is required: an entity has a name",
    )
    words = [re.sub("[┃│]", "", line).split() for line in answered.output.splitlines()]
    header = words.index(["records", "inserted", "updated", "unchanged", "stale", "rejected", "deleted"])
    assert words[header + 2] == ["6", "2", "1", "1", "1", "1", "1"]
    assert (rows("SELECT xmin, * FROM canonical.entities ORDER BY 2"), rows("SELECT * FROM ingest.objects")) == before
    # Elsewhere the key has to be said; a file that would be refused ends the command with 1, and says where.
    elsewhere = tmp_path / "c.json"
    elsewhere.write_text('[{"id": 1, "name": "A"},\n]')
    assert "--key" in str(pipeline("sources", "check", elsewhere).exception)
    refused = pipeline("sources", "check", elsewhere, "--key", "crm-data/c.json")
    assert refused.exit_code == 1
    assert "crm-data/c.json would be refused (array)" in refused.output
    assert "a comma before the end of an array: remove it (line 2, column 1)" in refused.output
    assert "nobody-data" in str(pipeline("sources", "check", elsewhere, "--key", "nobody-data/c.json").exception)


def test_a_check_ignores_what_discovery_ignores(pipeline: Invoke, tmp_path: Path) -> None:
    empty, blank = tmp_path / "empty.json", tmp_path / "blank.json"
    empty.write_bytes(b"")
    blank.write_bytes(b"\n")
    said(pipeline("sources", "check", empty, "--key", "crm-data/empty.json"), "crm-data/empty.json would be ignored")
    said(pipeline("sources", "check", blank, "--key", "crm-data/folder/"), "crm-data/folder/ would be ignored")
    refused = pipeline("sources", "check", blank, "--key", "crm-data/blank.json")
    assert (refused.exit_code, "would be refused" in refused.output) == (1, True)


def test_an_entity_is_explained(
    pipeline: Invoke, database: FreshDatabase, landing: Landing, rejected: list[int]
) -> None:
    ingest(
        database.loader,
        landing,
        landing.put("legacy-data/b", [{"id": 9, "name": "Z"}, {"id": 1, "name": "A", "revenue": 20}]),
    )
    said(
        pipeline("explain", "legacy_1", "revenue"),
        "20",
        "legacy-data/b record 2 (mapping 1, used since 20",
        "10 of legacy-data/a record 1",
        "older",
    )
    said(pipeline("explain", "legacy_1"), "History", "legacy-data/a record 1 (mapping 1, used")
    said(pipeline("explain", "legacy_3"), "Could not be loaded", str(rejected[1]), "is required")
    assert "<source>_<ID" in str(pipeline("explain", "nobody_1").exception)
    assert "It has" in str(pipeline("explain", "legacy_1", "colour").exception)


def test_a_row_of_every_dataset_is_explained(pipeline: Invoke, database: FreshDatabase, landing: Landing) -> None:
    ingest(
        database.loader,
        landing,
        landing.put("legacy-data/relationships/r", [{"parent_id": 1, "child_id": 2, "type": "owns", "why": "law"}]),
        landing.put("legacy-data/metrics/m", [{"id": 1, "type": "sales, net", "date": "2026-01-31", "value": 7}]),
    )
    edge = "legacy,legacy_1,legacy_2,owns,1900-01-01"
    said(pipeline("explain", edge, "--dataset", "relationships"), "law", "legacy-data/relationships/r record 1")
    metric = pipeline("explain", 'legacy_1,"sales, net",2026-01-31', "--dataset", "metrics")
    said(metric, "value", "7", "legacy-data/metrics/m record 1")
    assert "mapping" not in metric.output and "History" not in metric.output
    for wrong in ("legacy_1", "legacy_1,sales,yesterday", "legacy_1,sales,2026-01-31", ""):
        missing = str(pipeline("explain", wrong, "--dataset", "metrics").exception)
        assert "A key is canonical_id,metric_type,metric_date" in missing, wrong
    assert "entities, relationships, metrics" in str(pipeline("explain", "legacy_1", "--dataset", "none").exception)


def test_a_check_without_a_file_runs_the_contract_of_each_source(pipeline: Invoke, rows: Rows, tmp_path: Path) -> None:
    said(pipeline("sources", "check"), "crm: samples 0, faults 0", "legacy: samples 0, faults 0")
    samples = {
        "crm-data/good.json": '[{"id": 1, "name": "A"}, {"id": 2}]',
        "crm-data/metrics/bad.json": '[{"id": 1}]',
        "erp-data/torn.json": '[{"id": 1, "name": "A"}',
        "nobody-data/a.json": "[]",
    }
    for key, text in samples.items():
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    answered = pipeline("sources", "check", "--samples", tmp_path)
    assert answered.exit_code == 1
    for each in (
        "crm: samples 2, faults 1",
        "crm-data/metrics/bad.json: 1 of 1 records are bad",
        "erp: samples 1, faults 1",
        "erp-data/torn.json: ",
        "legacy: samples 0, faults 0",
        "nobody-data/a.json: no source has this folder",
    ):
        assert each in answered.output, answered.output
    said(pipeline("sources", "check", "--samples", tmp_path, "--source", "legacy"), "legacy: samples 0, faults 0")
    assert rows("SELECT count(*) FROM canonical.entities") == rows("SELECT count(*) FROM ingest.objects") == [(0,)]


def test_objects_are_put_back_in_line(pipeline: Invoke, database: FreshDatabase, landing: Landing, rows: Rows) -> None:
    ingest(database.loader, landing, landing.put("legacy-data/a", [{"id": 1, "name": "A"}]))
    ingest(database.loader, landing, landing.put("crm-data/a", [{"id": 1, "name": "A"}]))
    ((object_id, today),) = rows(
        "SELECT object_id, (discovered_at AT TIME ZONE 'UTC')::date::text FROM ingest.objects WHERE source = 'crm'"
    )
    assert "--day" in str(pipeline("replay").exception)
    for arguments, count in (
        ((object_id,), 1),
        (("--prefix", "legacy-"), 1),
        (("--source", "crm"), 1),
        (("--day", today), 2),
        (("--day", "2001-01-01"), 0),
    ):
        said(pipeline("replay", *arguments), f"{count} objects wait to be loaded")
        assert len(ingest(database.loader, landing)) == count


def test_discover_finds_what_no_event_told_of(pipeline: Invoke, settings: Settings, aws: Account, rows: Rows) -> None:
    for key in ("crm-data/a", "crm-data/b"):
        aws.s3.put_object(Bucket=settings.landing_bucket, Key=key, Body=b"[]")
    said(pipeline("discover"), "2 objects are new")
    assert rows("SELECT key, state FROM ingest.objects ORDER BY key") == [
        ("crm-data/a", "discovered"),
        ("crm-data/b", "discovered"),
    ]
    aws.s3.put_object(Bucket=settings.landing_bucket, Key="crm-data/empty.csv", Body=b"")
    said(pipeline("discover"), "0 objects are new", "1 were ignored: they are empty, folders, or no data")


def test_the_status_shows_what_somebody_has_to_look_at(
    pipeline: Invoke, database: FreshDatabase, landing: Landing, rejected: list[int]
) -> None:
    ingest(database.loader, landing, landing.put("crm-data/bad", b'[{"id": 1,\n'), landing.put("nobody-data/a", b"[]"))
    said(
        pipeline("status"),
        *(
            "loaded_with_rejects",
            "crm-data/bad",
            "failed",
            "(line 2, column 1)",
            "nobody-data/a",
            "unroutable",
            "add the source",
        ),
    )
    assert rejected != []
    # Of two files the one that was mended is no matter any more.
    ingest(database.loader, landing, landing.put("crm-data/bad", [{"id": 1, "name": "A"}]))
    assert "crm-data/bad" not in pipeline("status").output
    assert "nobody-data/a" in pipeline("status").output


def test_lists_say_that_there_is_more(
    pipeline: Invoke, database: FreshDatabase, landing: Landing, rejected: list[int], tmp_path: Path
) -> None:
    said(pipeline("rejects", "list", "--limit", len(rejected) - 1), "legacy_3", "--limit shows more than 1")
    assert "--limit" not in pipeline("rejects", "list", "--limit", len(rejected)).output
    ingest(database.loader, landing, *(landing.put(f"crm-data/{number}", b"{") for number in range(2)))
    said(pipeline("status", "--limit", 1), "--limit shows more than 1")
    (tmp_path / "bad.json").write_text(
        json.dumps([{"id": number} for number in range(21)] + [{"id": 1, "name": "A"}] * 30)
    )
    said(pipeline("sources", "check", tmp_path / "bad.json", "--key", "crm-data/x"), "the first 20 of 21")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("rejects", "discard", "--prefix", ""), "empty"),
        (("rejects", "replay", "--prefix", " "), "empty"),
        (("replay", "--prefix", ""), "empty"),
        (("rejects", "list", "--source", "CRM"), "crm, erp, legacy"),
        (("rejects", "discard", "--source", "nope"), "crm, erp, legacy"),
    ],
)
def test_what_would_mean_everything_or_nothing_is_asked_about(
    pipeline: Invoke, arguments: tuple[str, ...], why: str
) -> None:
    assert why in str(pipeline(*arguments).exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ("rejects", "list", "--limit", "-1"),
        ("rejects", "list", "--limit", str(10**20)),
        ("status", "--limit", "0"),
        ("rejects", "replay", str(10**20)),
        ("rejects", "show", str(10**20)),
        ("replay", str(10**20)),
    ],
)
def test_numbers_out_of_range_are_wrong_usage(pipeline: Invoke, arguments: tuple[str, ...]) -> None:
    answered = pipeline(*arguments)
    assert (answered.exit_code, "than or equal to" in answered.output) == (2, True)
