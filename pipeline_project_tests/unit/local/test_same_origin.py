"""The middleware in front of all local servers, given requests as a server parses them."""

import asyncio
from typing import Any

import pytest

from pipeline_project.local.same_origin import Message, Receive, SameOrigin, Scope, Send

PORT = 4566
HOST = f"127.0.0.1:{PORT}"
OWN = f"http://{HOST}"
LINK = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]
Headers = list[tuple[str, str]]


def answer(
    headers: Headers, *, method: str = "GET", target: str = "/", kind: str = "http", **options: Any
) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers of the answer. 200 comes from the app behind the middleware, and only from there."""
    sent: list[Message] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        allowing = [(b"Access-Control-Allow-Origin", b"*"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": allowing})
        await send({"type": "http.response.body", "body": b"read"})

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    path, _, query = target.partition("?")
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "server": ("127.0.0.1", PORT),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    asyncio.run(SameOrigin(app, **options)(scope, receive, send))
    if sent[0]["type"] == "websocket.close":
        return 403, {}
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.mark.parametrize("host", [HOST, f"localhost:{PORT}", f"LocalHost:{PORT}"])
def test_names_of_this_machine_are_served(host: str) -> None:
    assert answer([("host", host)])[0] == 200
    assert answer([("host", host), ("origin", f"http://{host.lower()}")], method="POST")[0] == 200


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["evil.example"],
        [f"evil.example:{PORT}"],
        ["127.0.0.1"],
        ["127.0.0.1:80"],
        [f"127.0.0.1.:{PORT}"],
        [f"localhost.:{PORT}"],
        [f"127.0.0.1:0{PORT}"],
        [f"127.0.0.1.evil.example:{PORT}"],
        [f"127.0.0.1@evil.example:{PORT}"],
        [f"evil.example@127.0.0.1:{PORT}"],
        [f"[::1]:{PORT}"],
        [f"[::ffff:127.0.0.1]:{PORT}"],
        [f"0.0.0.0:{PORT}"],
        [f"bucket.localhost:{PORT}"],
        [f"abc.execute-api.localhost:{PORT}"],
        [f" {HOST}"],
        [f"{HOST}, evil.example"],
        [HOST, HOST],
        [HOST, "evil.example"],
        ["evil.example", HOST],
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_any_other_host_is_refused(hosts: list[str], kind: str) -> None:
    assert answer([("host", host) for host in hosts], kind=kind)[0] == 403


@pytest.mark.parametrize("target", ["http://evil.example/", f"http://{HOST}/", "*", "evil.example:443", ""])
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    assert answer([("host", HOST)], target=target)[0] == 403


@pytest.mark.parametrize(
    "origins",
    [
        ["null"],
        [""],
        ["http://evil.example"],
        ["http://127.0.0.1"],
        ["http://127.0.0.1:9999"],
        [f"https://{HOST}"],
        [f"{OWN}/"],
        [f"http://localhost:{PORT}"],
        [f"{OWN}.evil.example"],
        ["file://"],
        ["chrome-extension://abc"],
        [OWN, "http://evil.example"],
        ["http://evil.example", OWN],
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_any_other_origin_is_refused(origins: list[str], method: str, kind: str) -> None:
    headers = [("host", HOST), *(("origin", origin) for origin in origins)]
    assert answer(headers, method=method, kind=kind)[0] == 403


def test_a_foreign_origin_stays_foreign_whatever_the_browser_says_beside_it() -> None:
    told = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]
    assert answer([("host", HOST), ("origin", "http://evil.example"), *told])[0] == 403
    assert answer([("host", HOST), ("origin", "null"), *LINK])[0] == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "SAME-ORIGIN", "anything"])
@pytest.mark.parametrize(
    ("mode", "destination"),
    [
        ("no-cors", "image"),
        ("no-cors", "script"),
        ("no-cors", "style"),
        ("cors", "empty"),
        ("navigate", "iframe"),
        ("navigate", "object"),
        ("websocket", "websocket"),
        (None, None),
    ],
)
def test_what_a_foreign_page_embeds_is_refused(site: str, mode: str | None, destination: str | None) -> None:
    told = [("sec-fetch-mode", mode), ("sec-fetch-dest", destination)]
    headers = [("host", HOST), ("sec-fetch-site", site), *((name, value) for name, value in told if value)]
    assert answer(headers)[0] == 403


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_own_pages_and_typed_addresses_are_served(site: str) -> None:
    headers = [("host", HOST), ("sec-fetch-site", site), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]
    assert answer(headers, target="/?a=b")[0] == 200


def test_a_foreign_link_opens_a_page_but_passes_nothing() -> None:
    headers = [("host", HOST), *LINK]
    assert answer(headers, target="/docs")[0] == 200
    assert answer(headers, target="/graphql?query=mutation")[0] == 403
    assert answer(headers, target="/docs", method="POST")[0] == 403
    assert answer([*headers, ("sec-fetch-dest", "iframe")], target="/docs")[0] == 403
    assert answer(headers, target="/graphql?query=mutation", may_be_linked=lambda scope: True)[0] == 200


def rest_only(scope: Scope) -> tuple[str, ...]:
    return ("http://localhost:5173",) if scope["path"].startswith("/rest/") else ()


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_an_admitted_origin_may_call_and_read_what_it_is_admitted_to(method: str) -> None:
    headers = [("host", HOST), ("origin", "http://localhost:5173"), ("sec-fetch-site", "same-site")]
    status, given = answer(headers, method=method, target="/rest/a?b=c", admitted_origins=rest_only)
    assert (status, given[b"Access-Control-Allow-Origin"]) == (200, b"*")
    assert answer(headers, method=method, target="/other", admitted_origins=rest_only)[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        [("origin", "http://localhost:5174")],
        [("origin", "http://localhost:5173/")],
        [("origin", "http://localhost:5173"), ("origin", "http://localhost:5173")],
        [("origin", "http://localhost:5173, http://evil.example")],
        [("sec-fetch-site", "same-site")],
    ],
)
def test_other_origins_stay_foreign_beside_an_admitted_one(headers: Headers) -> None:
    assert answer([("host", HOST), *headers], target="/rest/", admitted_origins=rest_only)[0] == 403


def test_an_admitted_origin_does_not_admit_another_host() -> None:
    headers = [("host", f"evil.example:{PORT}"), ("origin", "http://localhost:5173")]
    assert answer(headers, target="/rest/", admitted_origins=rest_only)[0] == 403


def test_no_answer_is_opened_to_other_origins() -> None:
    """An answer to this origin can be in the cache of a browser, where a header would open it to other pages."""
    status, headers = answer([("host", HOST)])
    assert (status, headers) == (200, {b"content-type": b"text/plain"})
    status, headers = answer([("host", HOST), ("origin", "http://evil.example")])
    assert status == 403
    assert not [name for name in headers if name.startswith(b"access-control")]
    assert headers[b"connection"] == b"close"
