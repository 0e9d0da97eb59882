"""Keys: what tools leave behind is ignored, folders are found in any case, and Hive's folders can be fields."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline_project.ingest.decoding import Chunk, ObjectFault
from pipeline_project.ingest.discovery import ignored_keys
from pipeline_project.ingest.discovery.ignored_keys import why_ignored
from pipeline_project.ingest.loading.object_keys import folder_hint, of_data, refuse_no_data, with_key_fields
from pipeline_project.sources import crm, registry
from pipeline_project.sources.dialect import Dialect


@pytest.mark.parametrize(
    "name",
    [
        *("_SUCCESS", "_temporary/0/part-1.csv", "2024/_committed_7", ".part-0.csv.crc", ".hidden/a.csv", ".DS_Store"),
        *("a.csv.crc", "a.csv.tmp", "a.csv.PART", "x/~$book.xlsx", "Thumbs.db", "x/desktop.ini"),
    ],
)
def test_what_tools_leave_behind_is_ignored(name: str) -> None:
    assert why_ignored(f"crm-data/{name}", 7)


@pytest.mark.parametrize(
    "name",
    [
        "a.csv",
        "a_b.csv",
        "_year=2024/a.csv",
        "year=2024/_month=01/a.csv",
        "part-0001",
        "x/crc",
        "tmp/a.csv",
        "a.party",
        "a~$b.csv",
    ],
)
def test_data_is_not_ignored(name: str) -> None:
    assert why_ignored(f"crm-data/{name}", 7) is None


def test_a_source_can_declare_what_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    source = dataclasses.replace(crm.SOURCE, dialect=Dialect(ignore_keys=("**/manifest.json", "crm-data/old/**")))
    monkeypatch.setattr(ignored_keys, "route", lambda _: (source, "entities"))
    assert [
        key for key in ("crm-data/manifest.json", "crm-data/old/a.csv", "crm-data/a.csv") if why_ignored(key, 1)
    ] == [
        "crm-data/manifest.json",
        "crm-data/old/a.csv",
    ]


@pytest.mark.parametrize("name", ["manifest.json", "x/MANIFEST", "load.manifest", "README", "readme.md", "License.txt"])
def test_files_that_describe_others_are_refused_with_the_setting(name: str) -> None:
    with pytest.raises(ObjectFault) as caught:
        refuse_no_data(f"crm-data/{name}")
    assert caught.value.code == "not_data"
    assert f'ignore_keys = ["**/{name.rpartition("/")[2]}"]' in caught.value.message
    refuse_no_data("crm-data/readme-first/customers.csv")


def test_folders_are_found_in_any_case() -> None:
    assert registry.route("CRM-Data/Relationships/a.csv") == (registry.sources()["crm"], "relationships")
    assert registry.route("Crm-data/x/relationships/a.csv") == (registry.sources()["crm"], "entities")


def test_a_folder_that_is_almost_a_dataset_gets_a_hint() -> None:
    hint = folder_hint("crm-data/Relationship/a.csv")
    assert hint == "the file is in the folder 'Relationship'; did you mean 'relationships'?"
    assert folder_hint("crm-data/metric/a.csv")
    for key in ("crm-data/a.csv", "crm-data/METRICS/a.csv", "crm-data/2024/a.csv", "crm-data/relationship"):
        assert folder_hint(key) is None

    def refused() -> Iterator[Chunk]:
        raise ObjectFault("no_header", "no header", line=3)
        yield

    with pytest.raises(ObjectFault, match="no header; the file is in") as caught:
        list(of_data(refused(), "crm-data/a.csv", hint))
    assert caught.value.line == 3


def read(key: str, records: list[Any], *names: str) -> list[Any]:
    chunk = Chunk(1, [json.dumps(each).encode() for each in records], {1: ("bad_json", "")})
    return [json.loads(bytes(each)) for each in next(with_key_fields(iter([chunk]), key, names)).records]


def test_folders_of_a_key_become_fields_that_records_can_overrule() -> None:
    key = "crm-data/country=DE/region=A%20B/x=__HIVE_DEFAULT_PARTITION__/a.json"
    records = [{}, {"id": 1}, {"id": 2, "country": "AT"}, [7]]
    assert read(key, records, "country", "region", "x") == [
        {"country": "DE", "region": "A B"},
        {"id": 1},
        {"country": "AT", "region": "A B", "id": 2},
        [7],
    ]
    with pytest.raises(ObjectFault) as caught:
        read(key, records, "month")
    assert (caught.value.code, "month=" in caught.value.message) == ("no_key_field", True)
