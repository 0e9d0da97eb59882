"""ASGI middleware that refuses what a web page of another origin sends to a server on this machine.

A browser sends requests to 127.0.0.1 for any page that it shows. The page cannot always read the answer, but the request
can still change something. The middleware stops four kinds of request before the server behind it sees them:

- requests with a foreign `Origin`: forms, `fetch`, websockets, sandboxed frames (`Origin: null`);
- requests without `Origin` that a foreign page caused, which `Sec-Fetch-Site` shows: images, scripts, frames;
- requests for a foreign `Host`: a name of the page's own that resolves to 127.0.0.1 (DNS rebinding);
- requests whose target is a whole URL, which only proxies get.

`admitted_origins` names foreign origins whose pages may send certain requests and read the answers.

A link on a foreign page still opens a page here. A program without a browser sends none of these headers and is served.
"""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

NAMES = ("127.0.0.1", "localhost")
"""Host names of this machine. No DNS server can make them point elsewhere."""
FORBIDDEN = 403


def has_no_query(scope: Scope) -> bool:
    """Return whether a request has no query string, so that a foreign link cannot pass anything."""
    return not scope["query_string"]


def none_admitted(scope: Scope) -> Collection[str]:  # noqa: ARG001 the form of `admitted_origins`
    """Admit no foreign origin."""
    return ()


class SameOrigin:
    """Middleware in front of `app`.

    `may_be_linked` decides which GET requests a foreign link may cause. `admitted_origins` gives the foreign origins whose pages
    may send a request.
    """

    def __init__(
        self,
        app: App,
        *,
        may_be_linked: Callable[[Scope], bool] = has_no_query,
        admitted_origins: Callable[[Scope], Collection[str]] = none_admitted,
    ) -> None:
        self._app = app
        self._may_be_linked = may_be_linked
        self._admitted_origins = admitted_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif reason := self._refusal(scope):
            await refuse(scope, receive, send, reason)
        else:
            await self._app(scope, receive, send if self._is_admitted(scope) else _without_cors(send))

    def _refusal(self, scope: Scope) -> str | None:
        """Return why the request is refused; None if it is not."""
        port = scope["server"][1]
        if not scope["raw_path"].startswith(b"/"):
            return "The request target is a whole URL. Send the path alone."
        hosts = values(scope, b"host")
        if len(hosts) != 1 or hosts[0].lower() not in {f"{name}:{port}" for name in NAMES}:
            return f"The request is for another host. Use http://{NAMES[0]}:{port}/."
        if self._is_admitted(scope):
            return None
        origins = values(scope, b"origin")
        if origins and origins != [f"http://{hosts[0].lower()}"]:
            return f"A page of another origin sent the request. Open http://{NAMES[0]}:{port}/ itself."
        sites = values(scope, b"sec-fetch-site")
        if any(site not in ("same-origin", "none") for site in sites) and not self._is_link(scope):
            return f"A page of another origin caused the request. Open http://{NAMES[0]}:{port}/ itself."
        return None

    def _is_admitted(self, scope: Scope) -> bool:
        """Return whether a page of an admitted origin sends the request. The browser sets `Origin`, and no page can change it."""
        origins = values(scope, b"origin")
        return len(origins) == 1 and origins[0] in self._admitted_origins(scope)

    def _is_link(self, scope: Scope) -> bool:
        """Return whether a person opens a page by a foreign link. A frame is another destination than `document`."""
        return (
            scope["type"] == "http"
            and scope["method"] in ("GET", "HEAD")
            and values(scope, b"sec-fetch-mode") == ["navigate"]
            and values(scope, b"sec-fetch-dest") == ["document"]
            and self._may_be_linked(scope)
        )


def values(scope: Scope, name: bytes) -> list[str]:
    """Return all values of a header, whose name is in lower case."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    reason: str,
    *,
    status: int = FORBIDDEN,
    headers: tuple[tuple[bytes, bytes], ...] = ((b"content-type", b"text/plain; charset=utf-8"),),
) -> None:
    """Answer with the reason instead of the app. The body of the request is not read."""
    if scope["type"] == "websocket":
        await receive()  # The server expects the answer after websocket.connect.
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    body = b"" if scope["method"] == "HEAD" else f"{reason}\n".encode()
    # Without `connection: close` the unread body would be taken for the next request.
    length = (b"content-length", str(len(body)).encode())
    whole = [*headers, length, (b"connection", b"close"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": whole})
    await send({"type": "http.response.body", "body": body})


def _without_cors(send: Send) -> Send:
    """Drop what would let other origins read an answer, for instance from the cache of the browser."""

    async def send_without(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            kept = [pair for pair in message.get("headers", ()) if not pair[0].lower().startswith(b"access-control-")]
            message = {**message, "headers": kept}
        await send(message)

    return send_without
