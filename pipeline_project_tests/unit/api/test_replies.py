"""What the API sends back, without a database or AWS: statuses, headers, and who the caller is."""

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from pipeline_project.analytics.failures import (
    DatabaseUnavailable,
    QueryCancelled,
    QueryFailed,
    QueryRefused,
    QueryTimedOut,
)
from pipeline_project.api import handler
from pipeline_project.api.http.principal import principal
from pipeline_project.api.http.problems import STATUS_OF, Problem, document
from pipeline_project.api.http.replies import (
    Links,
    Reply,
    common_headers,
    encoded,
    job_document,
    job_headers,
    preflight,
)
from pipeline_project.api.http.requests import Request
from pipeline_project.errors import CODES, Permanent, Transient
from pipeline_project.jobs.model import Job, State
from pipeline_project.jobs.store import IdempotencyConflict, TooManyJobs
from pipeline_project.results.options import Format
from pipeline_project.services import Services
from pipeline_project.settings import Settings

ORIGIN = "https://app.example.com"
SETTINGS = Settings(
    landing_bucket="landing",
    results_bucket="results",
    landing_queue_url="queue",
    table_name="table",
    events_topic_arn="topic",
    api_allowed_origins=f"https://other.example.com,{ORIGIN}",
)
SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Vary": "Accept-Encoding, Origin",
    "X-Content-Type-Options": "nosniff",
}


def event(method: str = "GET", path: str = "/thing", **more: Any) -> dict[str, Any]:
    """API Gateway's event."""
    context = {"requestId": "request-1", "stage": "v1", "path": f"/v1{path}", **more.pop("context", {})}
    return {"httpMethod": method, "path": path, "requestContext": context, **more}


def request(method: str = "GET", path: str = "/thing", **more: Any) -> Request:
    return Request(event(method, path, **more))


def test_each_problem_has_its_status() -> None:
    statuses: dict[int, set[str]] = {}
    for code, status in STATUS_OF.items():
        statuses.setdefault(status, set()).add(code)
    assert statuses == {
        400: {"bad_request", "malformed_json", "invalid_query", "invalid_header", "invalid_cursor"},
        401: {"unauthenticated"},
        403: {"forbidden"},
        404: {"not_found"},
        405: {"method_not_allowed"},
        406: {"not_acceptable"},
        409: {"job_not_finished", "job_without_result"},
        410: {"result_expired"},
        413: {"request_too_large"},
        415: {"unsupported_media_type"},
        422: {
            *("unknown_operation", "invalid_parameters", "invalid_body", "query_refused"),
            *("idempotency_key_reused", "not_inline"),
        },
        429: {"too_many_jobs", "too_many_requests", "quota_exceeded"},
        500: {"internal_error"},
        503: {"unavailable"},
        504: {"timeout"},
    }


def test_a_problem_names_code_detail_and_request_and_lists_errors_only_if_there_are_any() -> None:
    assert document("not_found", "no such job", "request-1") == {
        "type": "about:blank",
        "title": CODES["not_found"].title,
        "status": 404,
        "detail": "no such job",
        "code": "not_found",
        "request_id": "request-1",
    }
    errors = [{"field": "top_n", "rule": "minimum", "message": "at least 1"}]
    assert Problem("invalid_parameters", "x", errors=errors).document("r")["errors"] == errors
    for none in (None, []):
        assert "errors" not in Problem("invalid_parameters", "x", errors=none).document("r")


# ---- errors as answers


class Recalled:
    """A route that raises, behind the real handler."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, error: Exception) -> tuple[int, Mapping[str, str], dict[str, Any]]:
        def route(_request: Request, _services: Services) -> Reply:
            raise error

        self._monkeypatch.setattr(handler, "ROUTES", (handler.Route("GET", "/thing", route),))
        answer = handler.Api(handler.of_function(SETTINGS)).respond(event())
        return answer["statusCode"], answer["headers"], json.loads(answer["body"])


@pytest.mark.parametrize(
    ("error", "status", "code", "again"),
    [
        (IdempotencyConflict("said"), 422, "idempotency_key_reused", None),
        (TooManyJobs("said"), 429, "too_many_jobs", "5"),
        (QueryRefused("said"), 422, "query_refused", None),
        (QueryTimedOut("said"), 503, "unavailable", "5"),
        (QueryCancelled("said"), 503, "unavailable", "5"),
        (DatabaseUnavailable("said"), 503, "unavailable", "5"),
        (Permanent("said"), 400, "bad_request", None),
        (Transient("said"), 503, "unavailable", "5"),
        (Problem("job_not_finished", "said", headers={"Retry-After": "1"}), 409, "job_not_finished", "1"),
    ],
)
def test_our_own_errors_say_what_happened(
    monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str, again: str | None
) -> None:
    found, headers, body = Recalled(monkeypatch)(error)
    assert (found, body["status"], body["code"], body["detail"]) == (status, status, code, "said")
    assert headers.get("Retry-After") == again
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["X-Request-Id"] == body["request_id"] == "request-1"
    assert {name: headers[name] for name in SECURITY} == SECURITY


@pytest.mark.parametrize(
    ("error", "status", "code", "again"),
    [
        (QueryFailed("secret"), 500, "internal_error", None),
        (ValueError("secret"), 500, "internal_error", None),
        (KeyError("secret"), 500, "internal_error", None),
        (EndpointConnectionError(endpoint_url="secret"), 503, "unavailable", "5"),
        (ClientError({"Error": {"Code": "ThrottlingException", "Message": "secret"}}, "Query"), 503, "unavailable", "5"),
        (ClientError({"Error": {"Code": "ValidationException", "Message": "secret"}}, "Query"), 500, "internal_error", None),
    ],
)  # fmt: skip
def test_errors_of_others_are_logged_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    code: str,
    again: str | None,
) -> None:
    found, headers, body = Recalled(monkeypatch)(error)
    assert (found, body["code"]) == (status, code)
    assert headers.get("Retry-After") == again
    assert "secret" not in json.dumps(body)
    [record] = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "request-1" in record.getMessage()
    assert record.exc_info and record.exc_info[1] is error


def test_what_a_route_says_goes_before_the_common_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    def route(_request: Request, _services: Services) -> Reply:
        return Reply(200, {"a": 1}, {"Cache-Control": "max-age=300", "ETag": '"x"'})

    monkeypatch.setattr(handler, "ROUTES", (handler.Route("GET", "/thing", route),))
    answer = handler.Api(handler.of_function(SETTINGS)).respond(event())
    assert (answer["statusCode"], answer["body"], answer["isBase64Encoded"]) == (200, '{"a":1}', False)
    assert answer["headers"]["Cache-Control"] == "max-age=300"
    assert answer["headers"]["ETag"] == '"x"'
    assert answer["headers"]["Content-Type"] == "application/json"


# ---- headers


def test_every_answer_has_the_headers_that_keep_browsers_and_caches_away() -> None:
    assert common_headers(request(), SETTINGS) == {"X-Request-Id": "request-1", **SECURITY}


def test_an_origin_on_the_list_may_read_what_clients_need() -> None:
    headers = common_headers(request(headers={"Origin": ORIGIN}), SETTINGS)
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    assert set(headers["Access-Control-Expose-Headers"].split(", ")) == {
        *("Cache-Status", "ETag", "Idempotency-Replayed", "Location"),
        *("Preference-Applied", "Retry-After", "X-Request-Id"),
    }
    assert "Access-Control-Allow-Credentials" not in headers


def test_a_preflight_names_methods_and_headers_to_origins_on_the_list_only() -> None:
    methods = ["GET", "POST", "OPTIONS"]
    allowed = preflight(request("OPTIONS", headers={"Origin": ORIGIN}), SETTINGS, methods)
    assert (allowed.status, allowed.body) == (204, None)
    assert allowed.headers["Allow"] == allowed.headers["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS"
    assert allowed.headers["Access-Control-Max-Age"] == "3600"
    assert set(allowed.headers["Access-Control-Allow-Headers"].split(", ")) == {
        *("Authorization", "Cache-Control", "Content-Type", "Idempotency-Key", "If-None-Match", "Prefer"),
        *("X-Amz-Date", "X-Amz-Security-Token", "X-Api-Key"),
        *("baggage", "traceparent", "tracestate", "X-Amzn-Trace-Id", "sentry-trace"),
        *("b3", "X-B3-Flags", "X-B3-ParentSpanId", "X-B3-Sampled", "X-B3-SpanId", "X-B3-TraceId"),
        *("X-Datadog-Origin", "X-Datadog-Parent-Id", "X-Datadog-Sampling-Priority", "X-Datadog-Trace-Id"),
    }
    other = preflight(request("OPTIONS", headers={"Origin": "https://evil.example.com"}), SETTINGS, methods)
    assert (other.status, other.headers) == (204, {"Allow": "GET, POST, OPTIONS"})


def test_links_are_absolute_where_the_address_is_known() -> None:
    known = Links(request(), msgspec.structs.replace(SETTINGS, api_url="https://api.example.com/v1/"))
    assert known.job("1") == "https://api.example.com/v1/analytics/jobs/1"
    assert known.download("jobs/1/a b.csv") == "https://api.example.com/v1/download/jobs/1/a%20b.csv"
    assert Links(request(), SETTINGS).job("1") == "/v1/analytics/jobs/1"


AT = "2026-01-01T00:00:00.000Z"


def job(state: State) -> Job:
    return Job(
        id="1",
        operation="simple_demo",
        parameters={},
        format=Format.JSON,
        owner="anonymous",
        fingerprint="f",
        state=state,
        created_at=AT,
        updated_at=AT,
        expires_at=AT,
    )


FINAL = {"SUCCEEDED", "FAILED", "TIMED_OUT", "CANCELLED"}


@pytest.mark.parametrize("state", list(State))
def test_a_job_says_when_to_look_again_and_what_can_be_done(state: State) -> None:
    links = Links(request(), SETTINGS)
    is_final = state in FINAL
    here = "/v1/analytics/jobs/1"
    assert job_headers(job(state), links) == {"Location": here} | ({} if is_final else {"Retry-After": "1"})
    assert job_document(job(state), links)["links"] == {
        "self": here,
        "result": f"{here}/result" if state == "SUCCEEDED" else None,
        "rows": f"{here}/rows" if state == "SUCCEEDED" else None,
        "cancel": None if is_final else f"{here}/cancel",
    }


# ---- compression


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("br, *", True),
        ("*;q=0.1", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, *", False),
        ("*;q=0", False),
        ("identity, br", False),
        ("", False),
        (None, False),
    ],
)
def test_gzip_is_sent_only_to_clients_that_take_it(accepted: str | None, takes: bool) -> None:
    headers = {"Accept": "*/*"} | ({} if accepted is None else {"Accept-Encoding": accepted})
    assert request(headers=headers).takes_gzip() is takes
    body, sent = encoded(Reply(200, "x" * 2000, {"ETag": '"t"'}), request(headers=headers))
    assert sent.get("Content-Encoding") == ("gzip" if takes else None)
    assert sent["ETag"] == ('W/"t"' if takes else '"t"')
    assert (gzip.decompress(body) if takes else body) == b"x" * 2000


def test_a_client_that_does_not_say_what_it_accepts_gets_no_gzip() -> None:
    assert not request(headers={"Accept-Encoding": "gzip"}).takes_gzip()


GZIP = {"Accept": "application/json", "Accept-Encoding": "gzip"}


def test_a_small_body_is_not_compressed() -> None:
    for size, compressed in ((1023, False), (1024, True)):
        _, headers = encoded(Reply(200, "x" * size), request(headers=GZIP))
        assert ("Content-Encoding" in headers) is compressed


def test_a_compressed_answer_goes_to_the_gateway_in_base64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        handler, "ROUTES", (handler.Route("GET", "/thing", lambda _request, _services: Reply(200, {"a": "é" * 2000})),)
    )
    answer = handler.Api(handler.of_function(SETTINGS)).respond(event(headers=GZIP))
    assert answer["isBase64Encoded"] is True
    assert json.loads(gzip.decompress(base64.b64decode(answer["body"]))) == {"a": "é" * 2000}


# ---- caller


ROLE = "arn:aws:sts::123456789012:assumed-role/Analyst"


@pytest.mark.parametrize(
    ("identity", "authorizer", "name"),
    [
        ({}, {}, "anonymous"),
        ({"apiKeyId": "k1"}, {}, "key:k1"),
        ({"apiKeyId": "k1", "apiKey": "raw"}, {}, "key:k1"),
        ({"userArn": f"{ROLE}/morning"}, {}, f"iam:{ROLE}"),
        ({"userArn": "arn:aws:iam::123456789012:user/team/ann"}, {}, "iam:arn:aws:iam::123456789012:user/team/ann"),
        ({"userArn": f"{ROLE}/x", "apiKeyId": "k1"}, {}, f"iam:{ROLE}"),
        ({"apiKeyId": "k1"}, {"claims": {"sub": "s1"}}, "jwt:s1"),
        ({"userArn": f"{ROLE}/x"}, {"principalId": "p1"}, "jwt:p1"),
        ({}, {"claims": {"sub": "s1"}, "principalId": "p1"}, "jwt:s1"),
    ],
)
def test_the_caller_is_who_the_gateway_found(identity: dict[str, str], authorizer: dict[str, Any], name: str) -> None:
    asked = request(context={"identity": identity, "authorizer": authorizer})
    assert principal(asked, SETTINGS) == name


def test_a_raw_key_is_never_part_of_the_name() -> None:
    asked = request(context={"identity": {"apiKey": "raw-secret-key"}})
    name = principal(asked, SETTINGS)
    assert name.startswith("key:") and len(name) == len("key:") + 16
    assert "raw" not in name and "secret" not in name
    other = request(context={"identity": {"apiKey": "raw-secret-kez"}})
    assert principal(other, SETTINGS) != name


def test_a_caller_without_a_name_is_refused_behind_a_gateway() -> None:
    with pytest.raises(Problem) as caught:
        principal(request(), msgspec.structs.replace(SETTINGS, api_authentication="gateway"))
    assert (caught.value.code, caught.value.status) == ("unauthenticated", 401)


# ---- what is read of a request


@pytest.mark.parametrize(
    ("named", "matches"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
        ('"a', False),
        ("", False),
        (None, False),
    ],
)
def test_if_none_match_compares_entity_tags_weakly(named: str | None, matches: bool) -> None:
    headers = {} if named is None else {"If-None-Match": named}
    assert request(headers=headers).matches('"a"') is matches


@pytest.mark.parametrize(
    ("directives", "fresh"),
    [
        ("no-cache", True),
        ("max-age=0, No-Cache", True),
        ("no-store", False),
        ("max-age=0", False),
        ("x-no-cache", False),
        ("", False),
    ],
)
def test_no_cache_asks_for_a_new_answer(directives: str, fresh: bool) -> None:
    assert request(headers={"Cache-Control": directives}).wants_fresh() is fresh


@pytest.mark.parametrize("in_base64", [False, True])
def test_a_body_is_taken_up_to_its_bound_and_not_beyond(in_base64: bool) -> None:
    for size, fits in ((65_536, True), (65_537, False)):
        text = '{"a":"' + "x" * (size - 8) + '"}'
        body = base64.b64encode(text.encode()).decode() if in_base64 else text
        asked = request("POST", body=body, isBase64Encoded=in_base64, headers={"Content-Type": "application/json"})
        if fits:
            assert len(asked.json_object()["a"]) == size - 8
        else:
            with pytest.raises(Problem) as caught:
                asked.json_object()
            assert caught.value.code == "request_too_large"
