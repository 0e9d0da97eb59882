"""ASGI middleware that asks callers of the AWS emulator for a signature, as AWS does.

The emulator itself takes every request. Here a caller proves that it knows the secret access key of the platform, which is
random and is in a file that only its owner can read. Signature version 4 is verified with botocore's own signer, in headers
and in presigned links; version 2 only in presigned links, because boto3 makes them so. The access key ID may be any: for
the emulator it is the name of an account.

If the caller states the hash of the body, as S3 clients do, the body is compared with that hash while the emulator reads the
body. A body in chunks (`aws-chunked`) has no hash of the whole. The emulator itself verifies the checksum at its end.
"""

import datetime as dt
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit
from xml.sax.saxutils import escape

from botocore.auth import UNSIGNED_PAYLOAD, HmacV1QueryAuth, S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from pipeline_project.local.same_origin import FORBIDDEN, App, Message, Receive, Scope, Send, refuse

SIGNATURE_4 = "AWS4-HMAC-SHA256"
STREAMED = "STREAMING-"
"""What an S3 client states in place of a hash if the body is in chunks."""
BAD_REQUEST = 400
SKEW_SECONDS = 15 * 60
LONGEST_LINK_SECONDS = 7 * 24 * 3600
MAX_BODY_BYTES = 128 * 1024 * 1024
"""Most bytes of a request whose body must be read before its signature can be verified; S3 is not among them."""
NOTHING_RUNS = ((b"content-security-policy", b"sandbox"), (b"x-content-type-options", b"nosniff"))
"""A stored file that a browser shows may be a page. These headers keep it from acting as a page of this origin."""


class Refused(Exception):
    """Reason why a request is not served, with the code that AWS uses."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Claim:
    """Signature version 4 of one request, as the caller states it."""

    key: str
    date: str
    region: str
    service: str
    signed_headers: list[str]
    signature: str
    timestamp: str
    seconds: int | None
    """How long a presigned link works; None if the signature is in the headers."""


class Signed:
    """Middleware in front of `app`. Requests that `is_open` names pass without a signature."""

    def __init__(self, app: App, secret: str, *, is_open: Callable[[Scope], bool]) -> None:
        self._app = app
        self._secret = secret
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and self._is_open(scope)):
            await self._app(scope, receive, send)
            return
        try:
            if scope["type"] != "http":
                raise Refused("AccessDenied", "This address has no websockets.")
            body = await self._verified(scope, receive)
        except Refused as refused:
            await _answer(scope, receive, send, refused, FORBIDDEN)
            return
        await self._app(scope, body.receive, _sandboxed(send, body))
        if body.differs:
            refused = Refused("XAmzContentSHA256Mismatch", "The body has another hash than the request states.")
            await _answer(scope, receive, send, refused, BAD_REQUEST)

    async def _verified(self, scope: Scope, receive: Receive) -> "_Body":
        """Return the body for the app. Refused if the signature is missing or wrong."""
        headers = HTTPHeaders()
        for name, value in scope["headers"]:
            headers[name.decode("latin-1")] = _text(value)
        query = _query(scope["query_string"])
        given = [*headers.get_all("authorization", []), *(v for k, v in query if k in ("X-Amz-Signature", "Signature"))]
        if len(given) != 1:
            raise Refused(
                "AccessDenied",
                "The request needs exactly one AWS signature. `pipeline local env` prints the access key.",
            )
        if ("Signature", given[0]) in query:
            self._verify_version_2(scope, headers, query)
            return _Body(receive)
        claim = _claim(headers, query)
        stated = digest = headers.get("x-amz-content-sha256")
        if digest is None and claim.service == "s3" and claim.seconds is not None:
            digest = UNSIGNED_PAYLOAD
        if digest is None:
            body = await _read(receive)
            digest, receive = hashlib.sha256(body).hexdigest(), _again(body, receive)
        self._verify_version_4(scope, headers, query, claim, digest)
        is_hash = stated is not None and stated != UNSIGNED_PAYLOAD and not stated.startswith(STREAMED)
        return _Body(receive, stated if is_hash else None)

    def _verify_version_4(
        self, scope: Scope, headers: HTTPHeaders, query: list[tuple[str, str]], claim: Claim, digest: str
    ) -> None:
        must = {"host", *(name for name in headers if name.startswith("x-amz-"))}
        if unsigned := must - set(claim.signed_headers):
            raise Refused("AccessDenied", f"Sign these headers, too: {', '.join(sorted(unsigned))}.")
        if not claim.timestamp.startswith(claim.date):
            raise Refused("IncompleteSignature", "Use the same day in the credential and in X-Amz-Date.")
        request = AWSRequest(
            method=scope["method"],
            url=_url(scope["raw_path"], claim.service),
            headers={"X-Amz-Content-SHA256": digest},
            params=[pair for pair in query if pair[0] != "X-Amz-Signature"],
        )
        request.context["timestamp"] = claim.timestamp
        signer_of = _S3Signer if claim.service == "s3" else _Signer
        signer = signer_of(Credentials(claim.key, self._secret), claim, headers)
        expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        _compare(str(expected), claim.signature)
        _check_time(claim)

    def _verify_version_2(self, scope: Scope, headers: HTTPHeaders, query: list[tuple[str, str]]) -> None:
        fields = dict(query)
        expires, signature = fields.get("Expires", ""), fields["Signature"]
        # The same name twice could mean one thing here and another in the emulator.
        if "AWSAccessKeyId" not in fields or not expires.isdecimal() or len(fields) != len(query):
            raise Refused("AccessDenied", "A presigned link needs AWSAccessKeyId, Expires and Signature, each once.")
        signer = _LinkVersion2(Credentials(fields["AWSAccessKeyId"], self._secret), int(expires[:12]))
        target = urlsplit(f"{_url(scope['raw_path'], 's3')}?{scope['query_string'].decode('latin-1')}")
        _compare(signer.get_signature(scope["method"], target, headers), signature)
        if int(expires[:12]) < time.time():
            raise Refused("AccessDenied", "Request has expired")


class _Body:
    """Body of a request, compared with its stated hash while the app reads the body. It can be too large for the memory."""

    def __init__(self, receive: Receive, digest: str | None = None) -> None:
        self._receive = receive
        self._digest = digest
        self._hash = hashlib.sha256()
        self.differs = False

    async def receive(self) -> Message:
        """Give the next part. In place of the last part of another body, the app finds that its caller is gone."""
        message = await self._receive()
        if self._digest is None or message["type"] != "http.request":
            return message
        self._hash.update(message.get("body", b""))
        if message.get("more_body") or self._hash.hexdigest() == self._digest:
            return message
        self.differs = True
        return {"type": "http.disconnect"}


class _LinkVersion2(HmacV1QueryAuth):
    """Signer of a link with a known end. The signer of botocore counts the end from now."""

    def _get_date(self) -> str:
        return str(self._expires)


class _Signer(SigV4Auth):
    """botocore's signer, which signs the headers that the caller signed and no others."""

    def __init__(self, credentials: Credentials, claim: Claim, headers: HTTPHeaders) -> None:
        super().__init__(credentials, claim.service, claim.region)
        self._chosen = HTTPHeaders()
        for name in claim.signed_headers:
            for value in headers.get_all(name, []):
                self._chosen[name] = value

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:  # noqa: ARG002 the caller chose them
        return self._chosen


class _S3Signer(_Signer, S3SigV4Auth):
    """The same for S3, which takes paths as they are."""


def _claim(headers: HTTPHeaders, query: list[tuple[str, str]]) -> Claim:
    """Return what the request states, in the header Authorization or in the query."""
    authorization = headers.get("authorization")
    if authorization is None:
        fields = {name.removeprefix("X-Amz-"): value for name, value in query if name.startswith("X-Amz-")}
        algorithm, timestamp, seconds = fields.get("Algorithm"), fields.get("Date", ""), fields.get("Expires", "")
    else:
        algorithm, _, rest = authorization.partition(" ")
        fields = {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in rest.split(","))}
        timestamp, seconds = headers.get("x-amz-date", ""), None
    scope = fields.get("Credential", "").split("/")
    incomplete = not fields.get("SignedHeaders") or not fields.get("Signature") or (seconds == "")
    if algorithm != SIGNATURE_4 or len(scope) != 5 or scope[4] != "aws4_request" or incomplete:
        raise Refused("IncompleteSignature", f"Sign the request with {SIGNATURE_4}, as AWS clients do.")
    return Claim(
        *scope[:4],
        signed_headers=[name.lower() for name in fields["SignedHeaders"].split(";")],
        signature=fields["Signature"],
        timestamp=timestamp,
        seconds=None if seconds is None else _seconds(seconds),
    )


def _seconds(text: str) -> int:
    if not (text.isdecimal() and len(text) < 10 and 0 < int(text) <= LONGEST_LINK_SECONDS):
        raise Refused("AccessDenied", f"X-Amz-Expires is a number of seconds from 1 to {LONGEST_LINK_SECONDS}.")
    return int(text)


def _check_time(claim: Claim) -> None:
    """Refuse a request that was signed long ago, and a link that has expired."""
    try:
        signed = dt.datetime.strptime(claim.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC).timestamp()
    except ValueError:
        raise Refused("IncompleteSignature", "X-Amz-Date is a time such as 20261201T120000Z.") from None
    now = time.time()
    if signed > now + SKEW_SECONDS or (claim.seconds is None and signed < now - SKEW_SECONDS):
        raise Refused("RequestTimeTooSkewed", "The clock of the caller differs by more than 15 minutes.")
    if claim.seconds is not None and now > signed + claim.seconds:
        raise Refused("AccessDenied", "Request has expired")


def _compare(expected: str, given: str) -> None:
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise Refused(
            "SignatureDoesNotMatch", "The signature is wrong. `pipeline local env` prints the secret access key."
        )


def _url(raw_path: bytes, service: str) -> str:
    """Return the URL whose path the caller signed; the host is in a header of its own."""
    path = (
        quote(unquote_to_bytes(raw_path), safe="/-_.~")
        if service == "s3"
        else quote(raw_path, safe="/-_.~%:@!$&'()*+,;=")
    )
    return f"http://host{path}"


def _query(raw: bytes) -> list[tuple[str, str]]:
    pairs = (pair.partition("=") for pair in raw.decode("latin-1").split("&") if pair)
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def _read(receive: Receive) -> bytes:
    """Return the whole body. Refused if it is too large to be held in memory."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise Refused("RequestEntityTooLarge", f"The body is larger than {MAX_BODY_BYTES} bytes.")
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read once more, and then what follows it."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again


def _sandboxed(send: Send, body: _Body) -> Send:
    """Add the headers that keep stored files from acting. An answer to a body that differs is dropped."""

    async def send_sandboxed(message: Message) -> None:
        if body.differs:
            return
        if message["type"] == "http.response.start":
            headers: Iterable[tuple[bytes, bytes]] = message.get("headers", ())
            message = {**message, "headers": [*headers, *NOTHING_RUNS]}
        await send(message)

    return send_sandboxed


async def _answer(scope: Scope, receive: Receive, send: Send, refused: Refused, status: int) -> None:
    content_type, body = _error(scope, refused)
    headers = ((b"content-type", content_type), (b"x-amzn-errortype", refused.code.encode()))
    await refuse(scope, receive, send, body, status=status, headers=headers)


def _error(scope: Scope, refused: Refused) -> tuple[bytes, str]:
    """Return content type and body of an error, in the form that the client of the service reads."""
    sent = dict(scope["headers"])
    error = f"<Error><Code>{escape(refused.code)}</Code><Message>{escape(str(refused))}</Message></Error>"
    if sent.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded"):
        return b"application/xml", f"<ErrorResponse>{error}<RequestId>none</RequestId></ErrorResponse>"
    authorization = sent.get(b"authorization")
    if authorization and b"/s3/aws4_request" not in authorization:
        return b"application/json", json.dumps({"__type": refused.code, "message": str(refused)})
    return b"application/xml", error
