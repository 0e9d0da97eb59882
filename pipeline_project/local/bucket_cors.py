"""ASGI middleware that lets pages of other origins read objects as far as the CORS rules of the bucket allow, as S3 does.

ministack itself answers each of them with `Access-Control-Allow-Origin: *`, unless its own check of credentials is on, which
this platform replaces. Two functions that are used here are internal to ministack. Its version is pinned, and tests fail if
they change.
"""

from typing import Any

from pipeline_project.local.aws_storage import OTHER_API
from pipeline_project.local.same_origin import App, Message, Receive, Scope, Send


def is_presigned_read(scope: Scope) -> bool:
    """Tell whether a request reads an object by a presigned link, or asks whether a page may do so."""
    return (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD", "OPTIONS")
        and _place(scope) is not None
        and b"X-Amz-Signature=" in scope["query_string"]
    )


class BucketCors:
    """Middleware in front of `app`. `s3` is the module of the emulator that keeps the rules."""

    def __init__(self, app: App, s3: Any) -> None:
        self._app = app
        self._s3 = s3

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = _place(scope) if scope["type"] == "http" else None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers", ())}
        if place is None or "origin" not in headers:
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            status, answered, body = self._s3.cors_preflight(*place, headers)
            length = {"Content-Length": str(len(body))}
            await send({"type": "http.response.start", "status": status, "headers": _encoded({**answered, **length})})
            await send({"type": "http.response.body", "body": body})
        else:
            allowed = _encoded(self._s3.cors_response_headers(place[0], scope["method"], headers))
            await self._app(scope, receive, _with_rules(send, allowed))


def _place(scope: Scope) -> tuple[str, str] | None:
    """Give bucket and key of a path, or None if it is no object's. Path-style, as all clients of the platform are set up."""
    bucket, _, key = scope["path"].lstrip("/").partition("/")
    return (bucket, key) if bucket and key and OTHER_API.match(bucket) is None else None


def _with_rules(send: Send, allowed: list[tuple[bytes, bytes]]) -> Send:
    """Replace what the emulator says about other origins, in errors, too."""

    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [pair for pair in message.get("headers", ()) if not pair[0].lower().startswith(b"access-control-")]
            message = {**message, "headers": [*kept, *allowed]}
        await send(message)

    return send_with


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
