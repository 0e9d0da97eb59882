"""Bad input: always the right 4xx as a problem document, never a 5xx, a stack trace or database text."""

import gzip
from contextlib import closing

import msgspec
import pytest

from pipeline_project.api.handler import of_function
from pipeline_project.errors import CODES
from pipeline_project_tests.fix_api import Answer, Caller, Cloud

JSON = {"Content-Type": "application/json"}
DEEP = b'{"operation":' + b"[" * 3000 + b"]" * 3000 + b"}"
GOOD = {"operation": "simple_demo"}
SOMEBODYS = "/analytics/jobs/00000000-0000-4000-8000-000000000000"


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json["code"]) == (status, code), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["title"] == CODES[code].title
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for word in ("Traceback", "psycopg", "botocore", "SELECT", 'File "'):
        assert word not in answer.text


@pytest.mark.parametrize("path", ["/analytics", "/analytics/jobs"])
@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b'{"operation": "simple_demo"} x', 400, "malformed_json"),
        (b'{"operation": "\xff"}', 400, "malformed_json"),
        (b'{"operation": "simple_demo", "operation": "database_info"}', 400, "malformed_json"),
        (b'{"operation": "simple_demo", "parameters": {"a": 1, "a": 2}}', 400, "malformed_json"),
        (b'{"operation": NaN}', 400, "malformed_json"),
        (b'{"operation": "simple_demo", "parameters": {"a": 1' + b"0" * 5000 + b"}}", 422, "invalid_body"),
        (b'{"operation": "\\ud800"}', 422, "invalid_body"),
        (b'{"operation": "a\\u0000"}', 422, "invalid_body"),
        (DEEP, 400, "malformed_json"),
        (b'{"operation": "' + b"x" * 10_000_000 + b'"}', 413, "request_too_large"),
        (b"[]", 422, "invalid_body"),
        (b"null", 422, "invalid_body"),
        (b"{}", 422, "invalid_body"),
        (b'{"operation": 1}', 422, "invalid_body"),
        (b'{"operation": "simple_demo", "format": "../../x"}', 422, "invalid_body"),
        (b'{"operation": "simple_demo", "format": ["csv"]}', 422, "invalid_body"),
        (b'{"operation": "simple_demo", "colour": "red"}', 422, "invalid_body"),
        (b'{"operation": "drop table\\r\\nX-Header: 1"}', 422, "unknown_operation"),
        (b'{"operation": "simple_demo", "parameters": []}', 422, "invalid_parameters"),
        (b'{"operation": "simple_demo", "parameters": null}', 422, "invalid_parameters"),
        (b'{"operation": "simple_demo", "parameters": {"a\\r\\nb": 1}}', 422, "invalid_parameters"),
        (b'{"operation": "revenue_analysis", "parameters": {"top_n": 1e400}}', 422, "invalid_parameters"),
        (b'{"operation": "revenue_analysis", "parameters": {"metric": "name; DROP"}}', 422, "invalid_parameters"),
    ],
)
def test_body(api_without_database: Caller, path: str, raw: bytes, status: int, code: str) -> None:
    refused(api_without_database("POST", path, raw=raw, encoded=True, headers=JSON), status, code)


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "", "application/json-seq"])
def test_content_type(api_without_database: Caller, content_type: str) -> None:
    refused(
        api_without_database("POST", "/analytics", GOOD, {"Content-Type": content_type}), 415, "unsupported_media_type"
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/analytic", 404, "not_found"),
        ("GET", "/analytics/jobs/x", 404, "not_found"),
        ("GET", "/analytics/jobs/%0d%0a", 404, "not_found"),
        ("GET", "/analytics/jobs/" + "a" * 5000, 404, "not_found"),
        ("GET", SOMEBODYS, 404, "not_found"),
        ("GET", f"{SOMEBODYS}/result", 404, "not_found"),
        ("GET", f"{SOMEBODYS}/result?format=../../x", 400, "invalid_query"),
        ("POST", f"{SOMEBODYS}/cancel", 404, "not_found"),
        ("GET", SOMEBODYS.replace("0000-4", "0000-4".upper()) + "/", 404, "not_found"),
        ("GET", f"{SOMEBODYS}?wait=26", 400, "invalid_query"),
        ("GET", f"{SOMEBODYS}?wait=-1", 400, "invalid_query"),
        ("GET", f"{SOMEBODYS}?wait=%C2%B2", 400, "invalid_query"),
        ("GET", f"{SOMEBODYS}?wait=1&wait=2", 400, "invalid_query"),
        ("GET", f"{SOMEBODYS}?what=1", 400, "invalid_query"),
        ("GET", "/analytics", 400, "invalid_query"),
        ("GET", "/analytics?operation=a&operation=b", 400, "invalid_query"),
        ("GET", "/analytics?operation=nothing", 422, "unknown_operation"),
        ("GET", "/analytics?operation=simple_demo&colour=red", 422, "invalid_parameters"),
        ("GET", "/analytics?operation=simple_demo&parameters=%7B", 400, "malformed_json"),
        ("GET", "/analytics?operation=simple_demo&parameters=1", 422, "invalid_parameters"),
        ("GET", "/analytics?operation=simple_demo&parameters=%7B%22a%22:%22%5Cu0000%22%7D", 422, "invalid_parameters"),
        ("GET", "/analytics?operation=simple_demo&parameters=%7B%22%5Cud800%22:1%7D", 422, "invalid_parameters"),
        ("GET", "/analytics?operation=simple_demo&parameters=%7B%7D&a=1", 400, "invalid_query"),
        ("GET", "/analytics?operation=simple%0D%0A", 400, "invalid_query"),
        ("GET", "/analytics/jobs?limit=0", 400, "invalid_query"),
        ("GET", "/analytics/jobs?limit=101", 400, "invalid_query"),
        ("GET", "/analytics/jobs?limit=a", 400, "invalid_query"),
        ("GET", "/analytics/jobs?state=DONE", 400, "invalid_query"),
        ("GET", "/analytics/jobs?operation=nothing", 422, "unknown_operation"),
        ("GET", "/analytics/jobs?created_from=yesterday", 400, "invalid_query"),
        ("GET", "/analytics/jobs?created_from=2026-01-01T00:00:00", 400, "invalid_query"),
        ("GET", "/analytics/jobs?created_from=0001-01-01T00:00:00%2B23:00", 400, "invalid_query"),
        ("GET", "/analytics/jobs?cursor=", 400, "invalid_cursor"),
        ("GET", "/analytics/jobs?cursor=%C3%BC", 400, "invalid_cursor"),
        ("GET", "/analytics/jobs?cursor=" + "A" * 3000, 400, "invalid_cursor"),
        ("GET", "/download/", 404, "not_found"),
        ("GET", "/download/jobs/../manifest.json", 404, "not_found"),
        ("GET", "/download/../../etc/passwd", 404, "not_found"),
        ("GET", "/download/analytics/nothing/latest.csv", 404, "not_found"),
        ("GET", "/health?a=1", 400, "invalid_query"),
    ],
)
def test_address(api_without_database: Caller, method: str, path: str, status: int, code: str) -> None:
    refused(api_without_database(method, path), status, code)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/analytics", "GET, HEAD, POST, OPTIONS"),
        ("PUT", "/analytics/jobs", "GET, HEAD, POST, OPTIONS"),
        ("POST", SOMEBODYS, "GET, HEAD, OPTIONS"),
        ("GET", f"{SOMEBODYS}/cancel", "POST, OPTIONS"),
        ("HEAD", f"{SOMEBODYS}/cancel", "POST, OPTIONS"),
        ("BREW", "/health", "GET, HEAD, OPTIONS"),
    ],
)
def test_method(api_without_database: Caller, method: str, path: str, allow: str) -> None:
    answer = api_without_database(method, path)
    if method == "HEAD":
        assert (answer.status, answer.text) == (405, "")
    else:
        refused(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == allow


@pytest.mark.parametrize(
    "path", ["/analytics/operations", "/docs", "/openapi.json", SOMEBODYS, "/nothing", "/download/x"]
)
def test_head_answers_as_get_without_the_body(api_without_database: Caller, path: str) -> None:
    get, head = api_without_database("GET", path), api_without_database("HEAD", path)
    assert (head.status, head.text) == (get.status, "")
    assert {**head.headers, "X-Request-Id": ""} == {**get.headers, "X-Request-Id": ""}


@pytest.mark.parametrize(
    ("raw", "headers", "reason"),
    [
        (gzip.compress(b"{}"), {"Content-Encoding": "gzip"}, "compressed (gzip)"),
        (gzip.compress(b"{}"), {}, "compressed (gzip)"),
        (b"{}", {"Content-Encoding": "br"}, "compressed ('br')"),
        ("{}".encode("utf-16"), {}, "UTF-16"),
        ("{}".encode("utf-16-le"), {}, "UTF-16"),
        ("{}".encode("utf-16-be"), {}, "UTF-16"),
        ("{}".encode("utf-32"), {}, "UTF-16 or UTF-32"),
        ("{}".encode("utf-32-be"), {}, "UTF-16 or UTF-32"),
        ('{"a":"é"}'.encode("latin-1"), {"Content-Type": 'application/json; charset="ISO-8859-1"'}, "'iso-8859-1'"),
        ("{}".encode("utf-16"), {"Content-Type": "application/json;charset=UTF-16"}, "'utf-16'"),
    ],
)
@pytest.mark.parametrize("path", ["/analytics", "/analytics/jobs"])
def test_a_body_that_is_packed_or_not_utf_8_is_refused_with_the_reason(
    api_without_database: Caller, path: str, raw: bytes, headers: dict[str, str], reason: str
) -> None:
    answer = api_without_database("POST", path, raw=raw, encoded=True, headers={**JSON, **headers})
    refused(answer, 415, "unsupported_media_type")
    assert reason in answer.json["detail"]
    assert ("Accept-Encoding" in answer.headers) is ("compressed" in reason)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8"])
def test_utf_8_may_be_named(api_without_database: Caller, content_type: str) -> None:
    answer = api_without_database("POST", "/analytics", raw=b'{"operation": 1}', headers={"Content-Type": content_type})
    refused(answer, 422, "invalid_body")


@pytest.mark.parametrize("key", ["", "a b", "\u00e4", "a\r\nX: 1", "x" * 256])
@pytest.mark.parametrize("path", ["/analytics", "/analytics/jobs"])
def test_idempotency_key(api_without_database: Caller, path: str, key: str) -> None:
    refused(api_without_database("POST", path, GOOD, {"Idempotency-Key": key}), 400, "invalid_header")


def test_cursor_that_was_tampered_with(api: Caller) -> None:
    for _ in range(3):
        api("POST", "/analytics/jobs", GOOD)
    cursor = api("GET", "/analytics/jobs?limit=1").json["next_cursor"]
    assert len(api("GET", f"/analytics/jobs?limit=1&cursor={cursor}").json["jobs"]) == 1
    for changed in (cursor[:-1], "A" + cursor[1:], cursor + "A"):
        refused(api("GET", f"/analytics/jobs?limit=1&cursor={changed}"), 400, "invalid_cursor")
    refused(api("GET", f"/analytics/jobs?state=RUNNING&cursor={cursor}"), 400, "invalid_cursor")
    refused(api.known_as(apiKeyId="k")("GET", f"/analytics/jobs?cursor={cursor}"), 400, "invalid_cursor")


def test_job_of_somebody_else(api: Caller) -> None:
    owner, other = api.known_as(apiKeyId="a"), api.known_as(apiKeyId="b")
    job = owner("POST", "/analytics/jobs", GOOD).json
    path = f"/analytics/jobs/{job['id']}"
    assert owner("GET", path).status == 200
    for method, target in (("GET", path), ("GET", f"{path}/result"), ("POST", f"{path}/cancel")):
        refused(other(method, target), 404, "not_found")
    refused(other("GET", f"/download/jobs/{job['id']}/1/result.json"), 404, "not_found")
    assert other("GET", "/analytics/jobs").json["jobs"] == []


def test_body_where_there_is_none(api: Caller) -> None:
    job = api("POST", "/analytics/jobs", GOOD).json
    refused(api("POST", f"/analytics/jobs/{job['id']}/cancel", {"now": True}), 422, "invalid_body")


def test_nobody_where_the_gateway_must_name_somebody(cloud: Cloud) -> None:
    settings = msgspec.structs.replace(cloud.settings, api_authentication="gateway")
    with closing(of_function(settings)) as services:
        refused(Caller(services)("GET", "/analytics/jobs"), 401, "unauthenticated")
        assert Caller(services, {"apiKeyId": "k"})("GET", "/analytics/jobs").status == 200


def test_what_nobody_expected(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    with closing(of_function(msgspec.structs.replace(cloud.settings, table_name="not-a-table"))) as services:
        answer = Caller(services)("GET", "/analytics/jobs")
    refused(answer, 500, "internal_error")
    assert answer.json["request_id"] in caplog.text


def test_of_several_unknown_parameters_the_first_by_name_is_told(api_without_database: Caller) -> None:
    answer = api_without_database("GET", "/analytics/operations?later=1&earlier=2")
    assert answer.json["detail"] == "unknown parameter 'earlier'; this route takes: none"
    answer = api_without_database("GET", "/analytics/jobs?wait=1")
    assert (
        "this route takes: state, operation, label, created_from, created_before, limit, cursor"
        in answer.json["detail"]
    )
