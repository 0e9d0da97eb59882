"""Events and listings tell of the same objects in the same way."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_project.ingest.discovery.listing import from_event, list_pages

AT = datetime(2026, 3, 1, tzinfo=UTC)


def event(key: str, size: int = 7, name: str = "ObjectCreated:Put", **more: Any) -> str:
    item = {"key": quote_plus(key), "size": size, "eTag": "e1", "sequencer": "s1"} | more
    return json.dumps({"Records": [{"eventName": name, "s3": {"bucket": {"name": "landing"}, "object": item}}]})


@given(
    key=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(lambda key: key[-1] != "/")
)
def test_keys_are_decoded_as_s3_encodes_them(key: str) -> None:
    message = from_event(event(key))
    assert [*(each.key for each in message.seen), *message.ignored] == [key]


@pytest.mark.parametrize(
    ("encoded", "key"),
    [("a+b", "a b"), ("a%2Bb", "a+b"), ("100%25", "100%"), ("%C3%BC", "ü"), ("a%2Fup", "a/up"), ("a%0Ab", "a\nb")],
)
def test_what_stands_for_plus_percent_space_and_unicode(encoded: str, key: str) -> None:
    assert from_event(event("KEY").replace("KEY", encoded)).seen[0].key == key


def test_folders_and_empty_objects_are_ignored_and_counted() -> None:
    for key, size in (
        ("crm-data/", 0),
        ("crm-data/a", 0),
        ("crm-data/folder/", 5),
        ("crm-data/a\0b", 7),  # which PostgreSQL has no text for
    ):
        seen, ignored = from_event(event(key, size))
        assert (seen, list(ignored)) == ([], [key])


@pytest.mark.parametrize(
    "body",
    ["", "not json", "[]", "7", "{}", '{"Records": null}', '{"Event": "s3:TestEvent"}', '{"Records": [7]}', '{"Records": [{}]}',
     event("a", name="ObjectRemoved:Delete"), '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {}}]}'],
)  # fmt: skip
def test_what_is_no_news_of_an_object_is_none(body: str) -> None:
    assert from_event(body).seen == []


class Bucket:
    """A few pages of a listing, as boto3 gives them."""

    def __init__(self, versioned: bool) -> None:
        self._versioned = versioned

    def get_bucket_versioning(self, **_: Any) -> dict[str, Any]:
        return {"Status": "Enabled"} if self._versioned else {}

    def list_objects_v2(self, *, ContinuationToken: str = "0", **_: Any) -> dict[str, Any]:
        page = int(ContinuationToken)
        contents = [
            {"Key": f"crm-data/{page}", "ETag": '"e1"', "Size": 7, "LastModified": AT},
            {"Key": "crm-data/", "ETag": '"e0"', "Size": 0, "LastModified": AT},
        ]
        return {"Contents": contents, "IsTruncated": page < 2, "NextContinuationToken": str(page + 1)}

    def list_object_versions(self, *, KeyMarker: str = "0", VersionIdMarker: str = "", **_: Any) -> dict[str, Any]:
        page = int(KeyMarker)
        assert VersionIdMarker == ("v" if page else "")
        versions = [
            {"Key": f"crm-data/{page}", "VersionId": f"v{n}", "ETag": f'"e{n}"', "Size": 7, "LastModified": AT}
            for n in (1, 2)
        ]
        markers = [{"Key": "crm-data/deleted", "VersionId": "v3"}]
        answer = {"Versions": versions, "DeleteMarkers": markers, "IsTruncated": page < 2}
        return answer if page == 2 else {**answer, "NextKeyMarker": str(page + 1), "NextVersionIdMarker": "v"}


def test_a_listing_gives_all_pages_and_can_go_on_behind_any() -> None:
    pages = list(list_pages(Bucket(versioned=False), "landing"))
    assert [[seen.key for seen in page.seen] for page in pages] == [["crm-data/0"], ["crm-data/1"], ["crm-data/2"]]
    assert [page.ignored for page in pages] == [1, 1, 1]
    assert [len(list(list_pages(Bucket(versioned=False), "landing", page.resume))) for page in pages[:-1]] == [2, 1]
    assert pages[-1].resume is None


def test_a_listing_of_versions_gives_overwritten_contents_too() -> None:
    pages = list(list_pages(Bucket(versioned=True), "landing"))
    assert [len(page.seen) for page in pages] == [2, 2, 2]
    assert len({seen.object_id for page in pages for seen in page.seen}) == 6


@pytest.mark.parametrize("versioned", [True, False])
def test_event_and_listing_mean_the_same_object(versioned: bool) -> None:
    listed = next(iter(list_pages(Bucket(versioned=versioned), "landing"))).seen[0]
    (seen,) = from_event(event("crm-data/0", versionId="v1") if versioned else event("crm-data/0")).seen
    assert seen.object_id == listed.object_id
    assert (seen.discovered_by, listed.discovered_by) == ("event", "listing")
