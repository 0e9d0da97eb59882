"""Questions over REST, against a real database and table: answered at once, from the cache, or made into a job."""

import base64
import gzip
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import msgspec
import psycopg
import pytest

from pipeline_project.analytics.catalogue import operations
from pipeline_project.api.handler import of_function
from pipeline_project_tests.fix_api import Caller
from pipeline_project_tests.fix_postgres import FreshDatabase

QUESTION = {"operation": "revenue_analysis", "parameters": {"metric": "revenue", "group_by": "industry", "top_n": 3}}
BY_NAME = "/analytics?operation=revenue_analysis&metric=revenue&group_by=industry&top_n=3"
MANY = """INSERT INTO canonical.entities (canonical_id, source, entity_type, deleted, name, country, revenue, attributes,
        source_updated_at, object_modified_at, object_id, ordinal, mapping_version, quality_score, content_hash,
        record_digest, version)
    SELECT 'crm_' || n, 'crm', 'customer', false, 'Company ' || n, 'country ' || n % 100, n, '{}', now(), now(), 1, n, 1, 1,
        md5(n::text)::uuid, md5(n::text)::uuid, 1
    FROM generate_series(1, 5000) AS n"""
LOAD = """INSERT INTO ingest.data_versions VALUES ('crm', 'entities', 1)
    ON CONFLICT (source, dataset) DO UPDATE SET version = data_versions.version + 1"""


def load(database: FreshDatabase) -> None:
    """What a load leaves behind that the cache looks at."""
    with psycopg.connect(database.admin) as connection:
        connection.execute(LOAD)


@contextmanager
def bounded(api: Caller, **settings: Any) -> Iterator[Caller]:
    """The same API with other settings."""
    with closing(of_function(msgspec.structs.replace(api.services.settings, **settings))) as services:
        yield Caller(services)


def test_answer_and_kept_answer(api: Caller) -> None:
    first = api("POST", "/analytics", QUESTION)
    assert first.status == 200, first.text
    assert first.headers["Cache-Status"] == "pipeline; fwd=miss; stored"
    # A browser may keep it for its user, and asks each time whether it still holds.
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert first.json["parameters"] == QUESTION["parameters"]
    assert first.json["truncated"] is False
    again = api("GET", BY_NAME)
    assert again.headers["Cache-Status"] == "pipeline; hit"
    assert again.text == first.text
    assert again.headers["ETag"] == first.headers["ETag"]


def test_defaults_and_spellings_are_one_question(api: Caller) -> None:
    api("POST", "/analytics", {"operation": "revenue_analysis"})
    as_json = json.dumps({"top_n": 10, "group_by": "industry"})
    for target in ("?operation=revenue_analysis&top_n=10", f"?operation=revenue_analysis&parameters={as_json}"):
        assert api("GET", f"/analytics{target}").headers["Cache-Status"] == "pipeline; hit"


def test_answer_is_never_older_than_the_last_load(api: Caller, database: FreshDatabase) -> None:
    before = api("POST", "/analytics", QUESTION)
    load(database)
    after = api("POST", "/analytics", QUESTION)
    assert after.json["data_version"] == before.json["data_version"] + 1
    assert after.headers["ETag"] != before.headers["ETag"]
    assert after.headers["Cache-Status"] == "pipeline; fwd=miss; stored"


def test_not_modified(api: Caller, database: FreshDatabase) -> None:
    etag = api("GET", BY_NAME).headers["ETag"]
    for named in (etag, f'"other", W/{etag}', "*"):
        answer = api("GET", BY_NAME, headers={"If-None-Match": named})
        assert (answer.status, answer.text, answer.headers["ETag"]) == (304, "", etag)
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.headers["Cache-Status"] == "pipeline; hit"
    assert api("GET", BY_NAME, headers={"If-None-Match": '"other"'}).status == 200
    assert api("POST", "/analytics", QUESTION, {"If-None-Match": etag}).status == 200
    load(database)
    assert api("GET", BY_NAME, headers={"If-None-Match": etag}).status == 200


def test_what_has_expired_is_not_used(api: Caller) -> None:
    with bounded(api, api_cache_seconds=-1) as forgetful:
        forgetful("POST", "/analytics", QUESTION)
        assert forgetful("POST", "/analytics", QUESTION).headers["Cache-Status"].startswith("pipeline; fwd=miss")


@pytest.mark.parametrize(
    ("changed", "headers", "reason"),
    [
        ({}, {"Prefer": "respond-async"}, "asked"),
        ({"inline_rows": 0}, {"Prefer": "wait=1, respond-async"}, "large"),
        ({"inline_rows": 0}, {}, "large"),
        ({"inline_bytes": 10}, {}, "large"),
    ],
)
def test_becomes_a_job(api: Caller, changed: dict[str, int], headers: dict[str, str], reason: str) -> None:
    with bounded(api, **changed) as small:
        answer = small("POST", "/analytics", {"operation": "database_info"}, headers)
        assert answer.status == 202, answer.text
        assert (answer.json["reason"], answer.json["state"]) == (reason, "SUBMITTED")
        assert answer.headers["Location"].endswith(f"/analytics/jobs/{answer.json['id']}")
        assert answer.headers["Retry-After"] == "1"
        if headers:
            assert "respond-async" in answer.headers["Preference-Applied"]
        else:
            refused = small("GET", "/analytics?operation=database_info")
            assert (refused.status, refused.json["code"]) == (422, "not_inline")


def test_a_large_answer_is_given_up_and_the_connection_serves_on(api: Caller, database: FreshDatabase) -> None:
    """Most of its rows are still on their way from the server when it is found to be too large."""
    with psycopg.connect(database.admin) as connection:
        connection.execute(MANY)
    large = {"operation": "revenue_analysis", "parameters": {"group_by": "country", "top_n": 50}}
    for _ in range(2):
        answer = api("POST", "/analytics", large)
        assert (answer.status, answer.json["reason"]) == (202, "large")
        assert api("GET", BY_NAME).status == 200


def test_what_takes_longer_than_one_would_wait_becomes_a_job(api: Caller, database: FreshDatabase) -> None:
    with psycopg.connect(database.admin) as lock:
        lock.execute("LOCK TABLE canonical.entities")
        answer = api("POST", "/analytics", QUESTION, {"Prefer": "wait=0"})
        lock.rollback()
    assert answer.status == 202, answer.text
    assert answer.json["reason"] == "slow"
    assert answer.headers["Preference-Applied"] == "wait=0"


def test_async_after_a_wait_is_an_answer_if_it_comes_in_time(api: Caller, database: FreshDatabase) -> None:
    """RFC 7240 §4.3: the combination asks for a job only if the answer takes longer."""
    headers = {"Prefer": 'foo; bar="a, respond-async, b", respond-async, wait=10'}
    answer = api("POST", "/analytics", QUESTION, headers)
    assert (answer.status, answer.headers["Preference-Applied"]) == (200, "respond-async, wait=10")
    load(database)
    with psycopg.connect(database.admin) as lock:
        lock.execute("LOCK TABLE canonical.entities")
        slow = api("POST", "/analytics", QUESTION, {"Prefer": "wait=0, respond-async"})
        lock.rollback()
    assert (slow.status, slow.json["reason"]) == (202, "slow")
    assert slow.headers["Preference-Applied"] == "respond-async, wait=0"


def test_the_wait_that_is_applied_is_told(api: Caller) -> None:
    for asked, applied in (("wait=60", "wait=25"), ("wait=24", "wait=24"), ("wait=60, wait=5", "wait=25")):
        with bounded(api, query_timeout_seconds=25) as usual:
            assert usual("POST", "/analytics", QUESTION, {"Prefer": asked}).headers["Preference-Applied"] == applied
    assert "Preference-Applied" not in api("POST", "/analytics", QUESTION, {"Prefer": "return=minimal"}).headers


def test_an_answer_comes_compressed_from_the_cache_and_from_the_database(api: Caller) -> None:
    plain = api("GET", BY_NAME)
    takes = {"Accept": "*/*", "Accept-Encoding": "gzip"}
    for headers in ({}, {"Cache-Control": "no-cache"}):
        packed = api("GET", BY_NAME, headers={**takes, **headers})
        assert (packed.headers["Content-Encoding"], packed.headers["ETag"]) == ("gzip", f"W/{plain.headers['ETag']}")
        assert gzip.decompress(base64.b64decode(packed.text)).decode() == plain.text
    for tag in (plain.headers["ETag"], f"W/{plain.headers['ETag']}"):
        again = api("GET", BY_NAME, headers={**takes, "If-None-Match": tag})
        assert (again.status, again.text) == (304, "")
    head = api("HEAD", BY_NAME)
    assert (head.status, head.text, head.headers["ETag"]) == (200, "", plain.headers["ETag"])


def test_a_single_value_in_the_query_string_is_a_list_of_one(api: Caller) -> None:
    target = "/analytics?operation=custom_complex_query&query=SELECT $1 AS a"
    assert api("GET", f"{target}&params=x").json["rows"] == [{"a": "x"}]
    assert api("GET", f"{target}, $2 AS b&params=x&params=y").json["rows"] == [{"a": "x", "b": "y"}]
    assert api("GET", "/analytics?operation=multi_dimensional_analytics&dimensions=type").status == 200
    assert api("GET", "/analytics?operation=multi_dimensional_analytics&dimensions=type,region").status == 200


def test_nobody_waits_longer_than_a_query_may_take(api: Caller, database: FreshDatabase) -> None:
    """API Gateway would give up before, and the answer would be lost."""
    with bounded(api, query_timeout_seconds=1) as hurried, psycopg.connect(database.admin) as lock:
        lock.execute("LOCK TABLE canonical.entities")
        answer = hurried("POST", "/analytics", QUESTION, {"Prefer": "wait=600"})
        lock.rollback()
    assert (answer.status, answer.json["reason"]) == (202, "slow")
    assert answer.headers["Preference-Applied"] == "wait=1"


def test_no_cache_asks_the_database_again(api: Caller, database: FreshDatabase) -> None:
    api("POST", "/analytics", QUESTION)
    for method, target, body in (("GET", BY_NAME, None), ("POST", "/analytics", QUESTION)):
        fresh = api(method, target, body, {"Cache-Control": "no-cache"})
        assert fresh.headers["Cache-Status"] == "pipeline; fwd=miss; stored"
        assert api(method, target, body).headers["Cache-Status"] == "pipeline; hit"


def test_a_long_operation_is_never_answered_at_once(api: Caller) -> None:
    [name, *_] = [each.name for each in operations().values() if each.long]
    refused = api("GET", f"/analytics?operation={name}")
    assert (refused.status, refused.json["code"]) == (422, "not_inline")
    promoted = api("POST", "/analytics", {"operation": name})
    assert (promoted.status, promoted.json["reason"]) == (202, "long")


def test_preferences_that_are_not_known_are_ignored(api: Caller) -> None:
    answer = api("POST", "/analytics", QUESTION, {"Prefer": 'return=minimal, wait=soon, foo; bar="respond-async"'})
    assert answer.status == 200
    assert "Preference-Applied" not in answer.headers


def test_operations(api: Caller) -> None:
    listed = {each["name"]: each for each in api("GET", "/analytics/operations").json["operations"]}
    assert listed["revenue_analysis"]["parameters"]["properties"]["top_n"]["minimum"] == 1
    for each in listed.values():
        answer = api("POST", "/analytics", each["example"])
        # In an empty database there is nothing that an example could name.
        asked = operations()[each["name"]]
        expected = (422,) if asked.must_exist and not asked.known else (200, 202)
        assert answer.status in expected, (each["name"], answer.text)


def test_health(api: Caller) -> None:
    answer = api("GET", "/health")
    assert (answer.status, answer.json["status"]) == (200, "ok")


def test_database_away_and_back(api: Caller, database: FreshDatabase) -> None:
    """503 with Retry-After while it is away; recovered without a restart, whatever connections were open."""
    assert api("POST", "/analytics", QUESTION).status == 200
    with psycopg.connect(database.server.admin(), autocommit=True) as admin:
        for allowed, status in ((False, 503), (True, 200)):
            admin.execute(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS {allowed}')  # pyright: ignore
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database.name,))
            for method, path, body in (("POST", "/analytics", QUESTION), ("GET", "/health", None)):
                answer = api(method, path, body)
                assert answer.status == status, answer.text
                assert ("Retry-After" in answer.headers) == (status == 503)
