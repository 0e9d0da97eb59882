"""What every answer carries: CORS from the allow-list, security headers, an id that leads to a log line."""

import json
import logging

import msgspec
import pytest

from pipeline_project.api.handler import of_function
from pipeline_project.logs import JsonLines
from pipeline_project_tests.fix_api import Caller

ALLOWED = "https://app.example.com"


@pytest.fixture
def caller(api_without_database: Caller) -> Caller:
    settings = msgspec.structs.replace(
        api_without_database.services.settings, api_allowed_origins=f"https://other.example.com,{ALLOWED}"
    )
    return Caller(of_function(settings))


@pytest.mark.parametrize("path", ["/analytics/operations", "/nothing", "/analytics", "/docs"])
def test_origin_on_the_list(caller: Caller, path: str) -> None:
    answer = caller("GET", path, headers={"Origin": ALLOWED})
    assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    assert answer.headers["Vary"] == "Accept-Encoding, Origin"


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com.evil.test",
        "https://evil-app.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://APP.example.com",
        "https://app.example.com/",
        "https://other.example.com,https://app.example.com",
        "null",
        "*",
        "",
        ",",
    ],
)
def test_origin_that_only_looks_right(caller: Caller, origin: str) -> None:
    for method, path in (("GET", "/analytics/operations"), ("GET", "/nothing"), ("OPTIONS", "/analytics")):
        answer = caller(method, path, headers={"Origin": origin})
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


def test_no_list_is_nobody(api_without_database: Caller) -> None:
    for origin in ("", ALLOWED):
        answer = api_without_database("GET", "/analytics/operations", headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_preflight(caller: Caller) -> None:
    asked = {"Origin": ALLOWED, "Access-Control-Request-Method": "POST"}
    answer = caller("OPTIONS", "/analytics/jobs", headers=asked)
    assert (answer.status, answer.text) == (204, "")
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST, OPTIONS"
    admitted = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"Idempotency-Key", "traceparent", "tracestate", "baggage"} <= set(admitted)
    assert caller("OPTIONS", "/nothing", headers=asked).status == 404


def test_security_headers(caller: Caller) -> None:
    for path in ("/analytics/operations", "/docs", "/nothing"):
        headers = caller("GET", path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Strict-Transport-Security"].startswith("max-age=")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_request_id_leads_to_the_log(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pipeline.api"):
        answer = caller("GET", "/analytics/operations?x=1", headers={"X-Api-Key": "secret-key"})
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records if record.name == "pipeline.api"]
    [line] = [line for line in lines if line["request_id"] == answer.headers["X-Request-Id"]]
    assert (line["status"], line["path"]) == (400, "/analytics/operations")
    assert "secret-key" not in caplog.text


def test_docs_need_nothing_from_elsewhere(caller: Caller) -> None:
    page = caller("GET", "/docs")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for word in ("<script", "<link", "<img", "@import", "url(", "src="):
        assert word not in page.text
    for operation in caller("GET", "/analytics/operations").json["operations"]:
        assert operation["name"] in page.text
