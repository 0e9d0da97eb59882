"""Listens to the topic on the loopback and shows each event: what a subscriber would be sent. For a laptop and tests.

Only an emulator on the same machine can reach it; on AWS, subscribe an address or a queue.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline_project.jobs.outbox import Event

HOST = "127.0.0.1"


@contextmanager
def subscribed(sns: Any, topic_arn: str, show: Callable[[Event], None]) -> Iterator[None]:
    """Subscribe and call `show`, in a thread of its own, with each event until the block ends; then unsubscribe."""
    confirmed: list[str] = []
    ready = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            if message["Type"] == "SubscriptionConfirmation":
                answer = sns.confirm_subscription(TopicArn=topic_arn, Token=message["Token"])
                confirmed.append(answer["SubscriptionArn"])
                ready.set()
            elif message["Type"] == "Notification":
                show(json.loads(message["Message"]))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 http.server's name
            """Nothing: the events are the output."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            sns.subscribe(
                TopicArn=topic_arn,
                Protocol="http",
                Endpoint=f"http://{HOST}:{server.server_port}/",
                ReturnSubscriptionArn=True,
            )
            ready.wait(10)
            yield
        finally:
            for arn in confirmed:
                sns.unsubscribe(SubscriptionArn=arn)
            server.shutdown()
            thread.join()
