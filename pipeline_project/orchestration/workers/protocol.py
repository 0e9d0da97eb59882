"""What launcher and worker server say to each other: one line of JSON each way, then the connection is closed.

An address is the path of a unix socket, or `host:port` where the two are on different machines. Whoever can reach it can
start runs, as with Dagster's code server: file modes guard the one, a security group the other.
"""

import contextlib
import json
import os
import select
import socket
from typing import Any

SECONDS = 5.0
"""The server answers in milliseconds; whoever waits longer does without it."""
REQUEST_SECONDS = 0.5
"""A launcher says at once what it wants; one that does not holds up the others no longer than this."""
LONGEST_LINE = 64 * 1024
BACKLOG = 64


class WorkersUnavailable(Exception):
    """Nobody answers, or not what was asked."""


class NobodyListens(WorkersUnavailable):
    """There is nobody to connect to. Whoever is connected to, and silent, may be alive and busy."""


def is_remote(address: str) -> bool:
    return not address.startswith("/")


def resolved(address: str) -> str:
    """The address of the one machine that the name leads to now. During a deployment it may lead to another one later."""
    if not is_remote(address):
        return address
    host, port = _parts(address)
    try:
        return f"{socket.gethostbyname(host)}:{port}"
    except OSError as error:
        raise WorkersUnavailable(f"{host} is not known") from error


def listen(address: str) -> socket.socket:
    """A listener at the address."""
    if is_remote(address):
        return socket.create_server(_parts(address), backlog=BACKLOG)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(address)  # noqa: PTH108 an address is a text
    listener = socket.socket(socket.AF_UNIX)
    old = os.umask(0o177)  # whoever can write to it can start runs
    try:
        listener.bind(address)
    finally:
        os.umask(old)
    listener.listen(BACKLOG)
    return listener


def ask(address: str, message: dict[str, Any]) -> dict[str, Any]:
    """The server's answer. Raises WorkersUnavailable, with the reason that it gives if it gives one."""
    try:
        connection = _connected(address)
    except OSError as error:
        raise NobodyListens(f"{type(error).__name__} at {address}") from error
    try:
        with connection:
            send(connection, message)
            answer = receive(connection)
    except (OSError, ValueError) as error:
        raise WorkersUnavailable(f"{type(error).__name__} at {address}") from error
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


def is_waiting(connection: socket.socket) -> bool:
    """Whether who has said what it wants still waits for the answer: there is nothing more to read, and no end either."""
    return not select.select([connection], [], [], 0)[0]


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _connected(address: str) -> socket.socket:
    if is_remote(address):
        return socket.create_connection(_parts(address), timeout=SECONDS)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(SECONDS)
    try:
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection
