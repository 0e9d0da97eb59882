"""A stand-in for Dagster's webserver, where a test must see what is launched, or have it fail."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class FakeDagster:
    """`mood`: `launches`, `refuses` (a typed GraphQL error), `fails` (500), `talks nonsense`."""

    def __init__(self) -> None:
        self.mood = "launches"
        self.launched: list[dict[str, str]] = []
        self.terminated: list[str] = []
        self.on_launch: Callable[[dict[str, str], str], Any] = lambda tags, run_id: None
        self.url = ""

    def answer(self, query: str, variables: dict[str, Any]) -> tuple[int, bytes]:
        if self.mood == "fails":
            return 500, b"{}"
        if self.mood == "talks nonsense":
            return 200, b"<html>"
        if "terminateRun" in query:
            self.terminated.append(variables["run"])
            return 200, b'{"data": {"terminateRun": {"__typename": "TerminateRunSuccess"}}}'
        if self.mood == "refuses":
            return 200, b'{"data": {"launchRun": {"__typename": "PipelineNotFoundError"}}}'
        tags = {tag["key"]: tag["value"] for tag in variables["execution"]["executionMetadata"]["tags"]}
        self.launched.append(tags)
        run = {"runId": f"run-{len(self.launched)}"}
        self.on_launch(tags, run["runId"])
        return 200, json.dumps({"data": {"launchRun": {"__typename": "LaunchRunSuccess", "run": run}}}).encode()


@pytest.fixture
def dagster() -> Iterator[FakeDagster]:
    with serve() as fake:
        yield fake


@contextmanager
def serve() -> Iterator[FakeDagster]:
    fake = FakeDagster()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/server_info" else 404)
            self.end_headers()

        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = fake.answer(given["query"], given["variables"])
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 http.server's name
            """Nothing: the test's output is the test's."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
