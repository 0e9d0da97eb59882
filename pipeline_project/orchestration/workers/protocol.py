"""The protocol between launcher and worker server: one line of JSON in each direction, then the connection is closed.

An address is the path of a unix socket, or `host:port` if the two are on different machines. Every program that reaches the
address can start runs, as with Dagster's code server. File modes protect the socket, a security group protects the port.
"""

import contextlib
import json
import os
import select
import socket
from typing import Any

SECONDS = 5.0
"""Timeout of a request. The server normally answers within milliseconds."""
REQUEST_SECONDS = 0.5
"""Time in which a launcher must send its request. A silent launcher delays other launchers by at most this time."""
LONGEST_LINE = 64 * 1024
BACKLOG = 64


class WorkersUnavailable(Exception):
    """The server does not answer, or it refuses the request."""


class NobodyListens(WorkersUnavailable):
    """No server listens at the address. A server that accepts a connection and stays silent can still be busy."""


def is_remote(address: str) -> bool:
    return not address.startswith("/")


def resolved(address: str) -> str:
    """Return the address with the host's current IP address. After a deployment, the name can lead to another machine."""
    if not is_remote(address):
        return address
    host, port = _parts(address)
    try:
        return f"{socket.gethostbyname(host)}:{port}"
    except OSError as error:
        raise WorkersUnavailable(f"{host} is not known") from error


def listen(address: str) -> socket.socket:
    """Return a socket that listens at the address."""
    if is_remote(address):
        return socket.create_server(_parts(address), backlog=BACKLOG)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(address)  # noqa: PTH108 an address is a string
    listener = socket.socket(socket.AF_UNIX)
    old = os.umask(0o177)  # a program that can write to the socket can start runs
    try:
        listener.bind(address)
    finally:
        os.umask(old)
    listener.listen(BACKLOG)
    return listener


def ask(address: str, message: dict[str, Any]) -> dict[str, Any]:
    """Send a request and return the answer. Raises WorkersUnavailable, with the server's reason if it sends one."""
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
    """Return one message, or None at the end of the connection. Raises ValueError and OSError."""
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
    """Return whether the client still waits for its answer: it has sent nothing more and has not closed the connection."""
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
