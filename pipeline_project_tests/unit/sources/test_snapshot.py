"""The declaration of snapshots: what a key tells, and which declarations are refused."""

import dataclasses
import random
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline_project.ingest.decoding import ObjectFault
from pipeline_project.ingest.loading.snapshots import read_manifest
from pipeline_project.plugins import PluginError
from pipeline_project.sources.crm import SOURCE as CRM
from pipeline_project.sources.snapshot import Place, Snapshot, SnapshotError
from pipeline_project.sources.toml_files import read_source
from pipeline_project_tests.snapshot_model import Mark, Row, State, history

KEYS = r"sap-data/full/(?P<land>\w\w)/(?P<snapshot>[^/]+)/"
SCOPED = Snapshot(keys=KEYS, scope="land", as_of="snapshot:%Y%m%d", complete="_SUCCESS")


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("sap-data/full/de/20241231/a.csv", Place("20241231", "de", "part")),
        ("sap-data/full/de/20241231/_SUCCESS", Place("20241231", "de", "marker")),
        ("sap-data/delta/a.csv", None),
    ],
)
def test_a_key_tells_snapshot_scope_and_role(key: str, place: Place | None) -> None:
    assert SCOPED.place(key) == place


def test_the_name_of_a_file_tells_which_part_it_is() -> None:
    declared = Snapshot(keys=r"a-data/(?P<snapshot>\d+)/", complete=r"parts:(?P<part>\d+)-of-(?P<parts>\d+)")
    assert declared.place("a-data/7/x-02-of-10.json") == Place("7", "", "part", 2, 10)
    with pytest.raises(SnapshotError, match="does not say which part it is"):
        declared.place("a-data/7/x.json")


def test_a_time_in_the_name_without_a_zone_is_utc() -> None:
    assert SCOPED.time_in_name("20241231") == datetime(2024, 12, 31, tzinfo=UTC)
    with pytest.raises(SnapshotError, match="'x' is not a time"):
        SCOPED.time_in_name("x")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keys": "("}, "keys = '(' is not a regular expression"),
        ({"keys": "a/", "complete": "_S"}, "does not name the snapshot"),
        ({"keys": "a/", "scope": "land"}, "scope = 'land' is not a group"),
        ({"keys": KEYS, "as_of": "noon"}, "as_of = 'noon' is not a time"),
        ({"keys": KEYS, "as_of": "snapshot:%H"}, "does not say the day"),
        ({"keys": KEYS, "complete": "parts:x"}, "needs the groups part and parts"),
        ({"keys": KEYS, "complete": "a/b"}, "is not the name of a file"),
        ({"keys": KEYS, "max_deletes": 5}, "max_deletes = 5 is not a share"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_remedy(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Snapshot(**settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"snapshot": Snapshot(keys="erp-data/")}, "do not begin with the folder of the source"),
        ({"snapshots": {"metrics": Snapshot(keys="crm-data/metrics/")}}, "a full export of it is a window"),
        ({"snapshots": {"things": Snapshot(keys="crm-data/")}}, "'things', which is not a dataset"),
        ({"snapshot": Snapshot(keys="crm-data/"), "partial": ("entities",)}, "Remove 'entities' from `partial`"),
        (
            {"snapshot": Snapshot(keys="crm-data/"), "snapshots": {"entities": Snapshot(keys="crm-data/")}},
            "Keep one of them",
        ),
    ],
)
def test_a_source_refuses_snapshots_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        dataclasses.replace(CRM, **change)


TOML = """
name = "sap"
description = "Customers of the ERP"
[entity]
source_id = ["KUNNR"]
[snapshot]
keys = 'sap-data/full/(?P<land>[^/]+)/(?P<snapshot>[^/]+)/'
scope = "land"
as_of = "snapshot:%Y%m%d"
complete = "_SUCCESS"
max_deletes = 0.1
"""


def test_a_toml_file_declares_snapshots(tmp_path: Path) -> None:
    path = tmp_path / "sap.toml"
    path.write_text(TOML)
    declared = read_source(path).snapshot_of("entities")
    assert declared is not None
    assert (declared.scope, declared.as_of, declared.complete, declared.max_deletes) == (
        *("land", "snapshot:%Y%m%d", "_SUCCESS"),
        0.1,
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (TOML.replace("max_deletes", "max_delete"), "Did you mean 'max_deletes'"),
        (TOML.replace('"snapshot:%Y%m%d"', '"noon"'), "as_of = 'noon' is not a time"),
    ],
)
def test_a_wrong_snapshot_in_toml_is_refused_with_its_file(tmp_path: Path, wrong: str, message: str) -> None:
    path = tmp_path / "sap.toml"
    path.write_text(wrong)
    with pytest.raises(PluginError, match=re.escape(message)):
        read_source(path)


@pytest.mark.parametrize(
    "content",
    [
        b'{"entries": [{"url": "s3://b/x/1", "mandatory": true}, {"url": "s3://b/x/2"}]}',
        b'["s3://b/x/1", "s3://b/x/2"]',
        b'{"files": [{"key": "s3://b/x/1"}, {"name": "s3://b/x/2"}]}',
        b's3://b/x/1\r\n"s3://b/x/2"\n\n',
    ],
)
def test_manifests_of_several_shapes_list_their_files(content: bytes) -> None:
    assert read_manifest(content) == ["s3://b/x/1", "s3://b/x/2"]


def test_a_manifest_without_files_is_refused() -> None:
    with pytest.raises(ObjectFault, match="lists no file"):
        read_manifest(b"{}")


def test_forgetting_members_never_changes_whether_an_entity_exists() -> None:
    """The rule of forgetting, in the model: marks that changed a state stay, and with scopes the last one that is present."""
    for seed in range(3_000):
        chance = random.Random(seed)
        events = _events(chance, scoped=chance.random() < 0.5)
        kept: list[Row | Mark] = []
        for each in events:
            kept.append(each)
            if chance.random() < 0.3:
                kept = _forget(kept, chance.randint(0, 13))
        assert _last(kept) == _last(events), seed


def _events(chance: random.Random, *, scoped: bool) -> list[Row | Mark]:
    events: list[Row | Mark] = []
    for number in range(chance.randint(1, 6)):
        deleted = chance.random() < 0.25
        events.append(Row((chance.randint(0, 12), 1, number), "-" if deleted else chance.choice("AB"), deleted))
    for number in range(chance.randint(1, 6)):
        scope = chance.choice("xy") if scoped else None
        events.append(Mark((chance.randint(0, 12), 2, number), chance.random() < 0.6, scope))
    chance.shuffle(events)
    return events


def _forget(events: list[Row | Mark], before: int) -> list[Row | Mark]:
    began = {state.by for state in _walked(events)}
    marks = sorted((each for each in events if isinstance(each, Mark)), key=lambda each: each.position)
    newest = {mark.scope: mark for mark in marks}
    present = [mark for mark in marks if mark.present and mark.scope is not None][-1:]
    needed = [*began, *newest.values(), *present]
    return [each for each in events if isinstance(each, Row) or each.position[0] >= before or each in needed]


def _walked(events: list[Row | Mark]) -> list[State]:
    rows = [each for each in events if isinstance(each, Row)]
    return history(rows, [each for each in events if isinstance(each, Mark)])


def _last(events: list[Row | Mark]) -> Any:
    """Return what the entity is in the end. The content of a deleted entity may blur."""
    states = _walked(events)
    return None if states[-1].deleted else states[-1].content
