"""JSON over HTTP to the local servers: to see whether they are ready, and to verify what they answer.

http.client and not urllib: no proxy, no redirect, and an error status is an answer like any other.
"""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pipeline_project.errors import Transient


@dataclass(frozen=True)
class Answer:
    """`body` is the parsed JSON, or the text if it is none; `location` is where the answer points to."""

    status: int
    body: Any
    location: str | None


def request(method: str, url: str, body: object = None, *, timeout: float = 30) -> Answer:
    """Transient when nobody answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        payload = None if body is None else json.dumps(body)
        connection.request(method, path or "/", payload, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Transient(f"{url} does not answer") from error
    finally:
        connection.close()
    try:
        parsed = json.loads(content)
    except ValueError:
        parsed = content.decode("utf-8", "replace")
    return Answer(response.status, parsed, response.getheader("Location"))
