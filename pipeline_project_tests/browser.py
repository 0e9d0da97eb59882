"""Debian's Chromium without a window, for looking at Dagster's web UI. It talks to nobody but the stack."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playwright.sync_api import BrowserContext, Page, Request, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTH, HEIGHT = 1400, 850
SECONDS = 40
LOCAL = ("http://127.0.0.1:", "data:", "blob:")


@contextmanager
def stranger(name: str, port: int | None = None) -> Iterator[BrowserContext]:
    """A browser in which a host name of the internet leads to this machine, as its owner's DNS server can arrange.

    With `port`, the name leads to that port, and the origin of the page still names none.
    """
    target = "127.0.0.1" if port is None else f"127.0.0.1:{port}"
    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--host-resolver-rules=MAP {name} {target}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        context = browser.new_context()
        context.set_default_timeout(SECONDS * 1000)
        try:
            yield context
        finally:
            browser.close()


@contextmanager
def page(url: str) -> Iterator[Page]:
    """A page in a browser with a profile of its own; paths are relative to `url`. Fails if anything was asked of others."""
    strangers: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith(LOCAL):
            strangers.append(request.url)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)  # headless, as is its default
        context = browser.new_context(base_url=url, viewport={"width": WIDTH, "height": HEIGHT})
        context.set_default_timeout(SECONDS * 1000)
        expect.set_options(timeout=SECONDS * 1000)
        context.on("request", note)
        try:
            yield context.new_page()
        finally:
            browser.close()
    assert not strangers, strangers


@contextmanager
def serving() -> Iterator[tuple[int, list[str]]]:
    """A web server of somebody else; its port, and what it was sent."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            seen.append(f"{self.command} {self.headers.get('Sec-Fetch-Dest')}")
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"a page")

        do_GET = do_POST = do_PUT = do_OPTIONS = handle_one  # noqa: N815 the names that http.server looks for

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 its name there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
