"""The PostgreSQL server that all workers of a test session share: started by the first, ended when the last has left.

Leaving is letting go of a file lock, which the kernel does for a worker that was killed, too; so nothing is left over.
Run as a script, this is the keeper: it starts the server, reports, goes into the background and waits until it has the
lock alone.

The server keeps nothing through a crash (fsync is off): a test of durability runs one of its own.
"""

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline_project.local.postgres import PostgresServer, free_port, wheel_binaries

OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    # Far from UTC, so that a day or a time that depends on the server's zone fails a test.
    "timezone": "Pacific/Kiritimati",
}
START_SECONDS = 120
ATTEMPTS = 3


@contextmanager
def joined(folder: Path) -> Iterator[tuple[PostgresServer, str]]:
    """The server of this folder and its superuser's password, kept running until the block ends."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "users.lock").open("w") as users:
        with exclusive(folder / "start.lock"):
            fcntl.flock(users, fcntl.LOCK_SH)  # waits for a keeper that is just ending its server
            address = folder / "server.json"
            if not address.exists():
                keeper = [sys.executable, "-m", __name__, str(folder), str(wheel_binaries())]
                subprocess.run(keeper, check=True)
        found = json.loads(address.read_text("utf-8"))
        yield PostgresServer(Path(found["bin"]), folder / "data", found["port"]), found["password"]


@contextmanager
def exclusive(path: Path) -> Iterator[IO[str]]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def keep(folder: Path, binaries: Path) -> None:
    started, report = os.pipe()
    if os.fork():
        os.close(report)
        sys.exit(0 if os.read(started, 1) else f"PostgreSQL did not start: see {folder / 'server.log'}")
    os.close(started)
    os.setsid()
    log = os.open(folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (0, 1, 2):
        os.dup2(log, standard)
    address, data = folder / "server.json", folder / "data"
    try:
        process, port, password = start(data, binaries)
        address.touch(mode=0o600)
        address.write_text(json.dumps({"bin": str(binaries), "port": port, "password": password}), "utf-8")
        os.write(report, b".")
        os.close(report)
        with exclusive(folder / "users.lock"):
            address.unlink()
            process.send_signal(signal.SIGQUIT)  # at once: nothing of it is needed again
            process.wait()
    finally:
        shutil.rmtree(data, ignore_errors=True)


def start(data: Path, binaries: Path) -> tuple["subprocess.Popen[bytes]", int, str]:
    password = secrets.token_urlsafe(16)
    for _ in range(ATTEMPTS):  # somebody may take the port between finding and using it
        server = PostgresServer(binaries, data, free_port())
        server.initialise(password)
        process = subprocess.Popen(server.command(OPTIONS, parent=os.getpid()))
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if server.is_ready(password):
                return process, server.port, password
            time.sleep(0.02)
        process.kill()
        process.wait()
    raise SystemExit(1)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), Path(sys.argv[2]))
