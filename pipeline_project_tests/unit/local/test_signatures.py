"""Requests signed by botocore, as they are and with one thing changed, before the middleware that verifies signatures."""

import asyncio
import datetime as dt
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from pipeline_project.local import signatures
from pipeline_project.local.signatures import Signed

SECRET = "a secret of the test"
HOST = "127.0.0.1:4566"
BODY = b'{"a": 1}'
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
Wire = dict[str, Any]
"""A request as it is sent: method, path, query, headers, body."""


def wire(request: AWSRequest) -> Wire:
    parts = urlsplit(request.prepare().url)
    headers = {"host": HOST, **{name.lower(): str(value) for name, value in request.headers.items()}}
    body = request.body or b""
    return {"method": request.method, "path": parts.path, "query": parts.query, "headers": headers, "body": body}


class Stating(auth.S3SigV4Auth):
    """A signer that states what the test wants in place of the hash of the body."""

    def payload(self, request: AWSRequest) -> str:
        return request.context["stated"]


def signed(
    service: str,
    path: str,
    query: str = "",
    *,
    secret: str = SECRET,
    method: str = "POST",
    stated: str | None = None,
) -> Wire:
    signer = Stating if stated else auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth
    headers = {"content-type": "application/json", "x-amz-target": "Service.Action"}
    request = AWSRequest(method, f"http://{HOST}{path}?{query}", headers, BODY)
    request.context["stated"] = stated
    signer(Credentials("000000000000", secret), service, "eu-central-1").add_auth(request)
    return wire(request)


def link(kind: str, path: str, query: str = "", *, secret: str = SECRET, seconds: int = 60) -> Wire:
    credentials = Credentials("000000000000", secret)
    request = AWSRequest("GET", f"http://{HOST}{path}" + (f"?{query}" if query else ""))
    if kind == "v2":
        auth.HmacV1QueryAuth(credentials, seconds).add_auth(request)
    elif kind == "s3":
        auth.S3SigV4QueryAuth(credentials, "s3", "eu-central-1", expires=seconds).add_auth(request)
    else:
        auth.SigV4QueryAuth(credentials, kind, "eu-central-1", expires=seconds).add_auth(request)
    return wire(request)


def served(sent: Wire, kind: str = "http") -> bytes | None:
    """The body that the app behind the middleware has read; None if it was not called."""
    read: list[bytes] = []
    answers: list[Any] = []

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                read.append(body)
                return

    parts = [sent["body"][:3], sent["body"][3:]]

    async def receive() -> Any:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Any) -> None:
        answers.append(message)

    headers = [(name.encode(), value.encode()) for name, value in sent["headers"].items()]
    scope = {
        **{"type": kind, "method": sent["method"], "path": sent["path"], "headers": headers},
        "raw_path": sent["path"].encode(),
        "query_string": sent["query"].encode(),
    }
    asyncio.run(Signed(app, SECRET, is_open=lambda scope: False)(scope, receive, send))
    assert read or answers[0].get("status") in (400, 403) or answers[0]["type"] == "websocket.close"
    return read[0] if read else None


@given(path=KEYS, name=KEYS, value=KEYS, service=st.sampled_from(["s3", "lambda", "sqs"]))
def test_what_botocore_signs_is_served(path: str, name: str, value: str, service: str) -> None:
    encoded = quote(path, safe="/~")
    assert (
        served(signed(service, f"/bucket/{encoded}", f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}")) == BODY
    )


@pytest.mark.parametrize("kind", ["v2", "s3", "lambda"])
@pytest.mark.parametrize("path", ["/b/k", "/b/a%20b%2Bc.json", "/b/a//b/%C3%BC"])
def test_presigned_links_are_served(kind: str, path: str) -> None:
    query = "response-content-disposition=attachment%3B%20filename%3D%22a%20b%22&versionId=1"
    assert served(link(kind, path, query)) == b""


@pytest.mark.parametrize(
    "sent",
    [
        signed("s3", "/b/k", secret="local"),
        signed("sqs", "/", secret=""),
        link("v2", "/b/k", secret="local"),
        link("s3", "/b/k", secret="local"),
        {"method": "POST", "path": "/", "query": "Action=ListQueues", "headers": {"host": HOST}, "body": b""},
    ],
)
def test_another_secret_or_none_is_refused(sent: Wire) -> None:
    assert served(sent) is None


@pytest.mark.parametrize("service", ["s3", "sqs"])
@pytest.mark.parametrize(
    "change",
    [
        {"method": "DELETE"},
        {"path": "/b/other"},
        {"query": "a=b&acl="},
        {"query": ""},
        {"headers": {"x-amz-target": "Service.Other"}},
        {"headers": {"x-amz-date": "20200101T000000Z"}},
        {"headers": {"x-amz-acl": "public-read"}},
        {"headers": {"host": "evil.example"}},
    ],
)
def test_a_request_that_was_changed_is_refused(service: str, change: Wire) -> None:
    sent = signed(service, "/b/k", "a=b")
    assert served(sent) == BODY
    changed = {**sent, **change, "headers": {**sent["headers"], **change.get("headers", {})}}
    assert served(changed) is None


@pytest.mark.parametrize("service", ["s3", "sqs"])
@pytest.mark.parametrize("body", [b"other", b"", BODY + b" ", BODY[:-1]])
def test_a_changed_body_is_refused(service: str, body: bytes) -> None:
    assert served({**signed(service, "/"), "body": body}) is None


@pytest.mark.parametrize("stated", ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"])
def test_a_body_without_a_stated_hash_is_served(stated: str) -> None:
    assert served(signed("s3", "/b/k", stated=stated)) == BODY


def test_a_hash_of_another_form_is_refused() -> None:
    """The signature is right, but there is nothing that the body could be compared with."""
    assert served(signed("s3", "/b/k", stated="none")) is None


@pytest.mark.parametrize("kind", ["v2", "s3", "lambda"])
def test_a_link_that_was_changed_or_is_old_is_refused(kind: str) -> None:
    sent = link(kind, "/b/k")
    assert served({**sent, "path": "/b/other"}) is None
    assert served({**sent, "method": "PUT"}) is None
    assert served({**sent, "query": sent["query"].replace("Expires=", "Expires=9")}) is None
    assert served({**sent, "query": f"{sent['query']}&Signature=x"}) is None
    assert served({**sent, "headers": {**sent["headers"], "x-amz-target": "Service.Action"}}) is None
    assert served(link(kind, "/b/k", seconds=-5)) is None
    assert served(link("s3", "/b/k", seconds=8 * 24 * 3600)) is None


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request",
        "AWS4-HMAC-SHA256 Credential=a/20260101/c/s3/aws4_request, SignedHeaders=host, Signature=",
        "AWS4-HMAC-SHA256 Credential=000000000000/20260101/c/s3/aws4_request, SignedHeaders=, Signature=0",
        "AWS4-HMAC-SHA256 Credential=000000000000/20260101/c/s3/aws4_request, SignedHeaders=host, Signature=é",
        "AWS4-ECDSA-P256-SHA256 Credential=a/20260101/s3/aws4_request, SignedHeaders=host, Signature=0",
        "AWS 000000000000:signature",
        "Basic MDAwMDAwMDAwMDAwOmxvY2Fs",
        "Bearer 000000000000",
    ],
)
def test_what_is_no_signature_is_refused(authorization: str) -> None:
    headers = {"host": HOST, "x-amz-date": "20260101T000000Z", "authorization": authorization}
    assert served({"method": "POST", "path": "/", "query": "", "headers": headers, "body": b""}) is None


def test_two_signatures_are_refused() -> None:
    """The emulator could take the account from the other signature."""
    sent = signed("s3", "/b/k")
    assert served({**sent, "query": link("s3", "/b/k")["query"]}) is None


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_request_of_another_time_is_refused(minutes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)).timestamp()
    sent = signed("sqs", "/")
    monkeypatch.setattr(signatures.time, "time", lambda: moment)
    assert served(sent) is None


def test_a_body_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "MAX_BODY_BYTES", len(BODY) - 1)
    assert served(signed("sqs", "/")) is None
    assert served(signed("s3", "/b/k")) == BODY


def test_there_are_no_websockets() -> None:
    assert served(signed("iotdata", "/mqtt"), kind="websocket") is None
