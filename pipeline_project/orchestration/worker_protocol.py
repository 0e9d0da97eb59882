"""What launcher and worker server say to each other: one line of JSON each way over a unix socket, then it is closed."""

import json
import socket
from pathlib import Path
from typing import Any

SECONDS = 5.0
"""The server answers in milliseconds; whoever waits longer does without it."""
LONGEST_LINE = 64 * 1024


class WorkersUnavailable(Exception):
    """Nobody answers, or not what was asked."""


def ask(path: Path, message: dict[str, Any]) -> dict[str, Any]:
    """The server's answer. Raises WorkersUnavailable, with the reason that it gives if it gives one."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(str(path))
            send(connection, message)
            answer = receive(connection)
    except (OSError, ValueError) as error:
        raise WorkersUnavailable(f"{type(error).__name__} at {path}") from error
    if answer is None or "refused" in answer:
        raise WorkersUnavailable(answer["refused"] if answer else "the connection was closed")
    return answer


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """One message; None at the end of the connection. Raises ValueError and OSError."""
    line = b""
    while not line.endswith(b"\n"):
        more = connection.recv(LONGEST_LINE)
        if not more:
            return None
        line += more
        if len(line) > LONGEST_LINE:
            raise ValueError("the message is too long")
    return json.loads(line)
