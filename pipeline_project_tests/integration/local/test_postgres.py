"""The embedded PostgreSQL as the local stack runs it, durably and behind a password."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from pipeline_project.errors import ConfigurationError
from pipeline_project.local import postgres
from pipeline_project.local.postgres import AS_NOBODY, PostgresServer, free_port, wheel_binaries

PASSWORD = "of this test"
START_SECONDS = 120


@pytest.fixture
def server(tmp_path: Path) -> PostgresServer:
    server = PostgresServer(wheel_binaries(), tmp_path / "data", free_port())
    server.initialise(PASSWORD)
    return server


@contextmanager
def running(server: PostgresServer) -> "Iterator[subprocess.Popen[bytes]]":
    log = server.data.with_suffix(".log").open("ab")
    process = subprocess.Popen(server.command({"shared_buffers": "16MB"}), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not server.is_ready(PASSWORD):
            assert process.poll() is None, server.data.with_suffix(".log").read_text("utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


def execute(server: PostgresServer, statement: bytes) -> list[tuple[object, ...]]:
    with psycopg.connect(server.conninfo(PASSWORD), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_what_was_committed_survives_a_kill(server: PostgresServer) -> None:
    with running(server) as process:
        execute(server, b"CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        process.kill()
        process.wait()
    with running(server):
        assert execute(server, b"SELECT count(*) FROM kept") == [(1000,)]


def test_only_the_loopback_and_only_with_the_password(server: PostgresServer) -> None:
    with running(server):
        settings = execute(
            server, b"SELECT current_setting('listen_addresses'), current_setting('unix_socket_directories')"
        )
        assert settings == [("127.0.0.1", "")]
        assert execute(server, b"SELECT DISTINCT auth_method FROM pg_hba_file_rules") == [("scram-sha-256",)]
        with pytest.raises(ConfigurationError, match="does not know this password"):
            server.is_ready("another")
        (log,) = server.data.parent.glob("*.log")
        assert PASSWORD not in log.read_text("utf-8")
    assert server.data.stat().st_mode & 0o077 == 0


def test_a_process_id_that_is_taken_again_does_not_stop_it(server: PostgresServer) -> None:
    with running(server) as process:
        process.kill()
        process.wait()
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text("utf-8").splitlines(keepends=True)
    pid_file.write_text("".join([f"{os.getpid()}\n", *lines[1:]]), "utf-8")
    server.forget_dead_server()
    with running(server) as process:
        assert execute(server, b"SELECT 1") == [(1,)]
        process.kill()
        process.wait()
    # As a full disk leaves it.
    pid_file.write_bytes(b"")
    server.forget_dead_server()
    with running(server):
        assert execute(server, b"SELECT 1") == [(1,)]


def test_an_interrupted_initialisation_is_begun_again(tmp_path: Path) -> None:
    server = PostgresServer(wheel_binaries(), tmp_path / "data", free_port())
    unfinished = tmp_path / "data.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n", "utf-8")
    server.initialise(PASSWORD)
    assert not unfinished.exists()
    with running(server):
        assert execute(server, b"SELECT 1") == [(1,)]


def test_a_server_ends_with_its_parent(server: PostgresServer) -> None:
    """The parent here is a shell that is killed; the kernel tells the server."""
    command = server.command({"shared_buffers": "16MB"})
    parent = subprocess.Popen(["sh", "-c", '"$@" & wait', "sh", *command], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + START_SECONDS
    while not server.is_ready(PASSWORD):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    while (server.data / "postmaster.pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


DOUBLED = b"""
    WITH RECURSIVE r AS (SELECT 'x' AS s, 0 AS n UNION ALL SELECT s || s, n + 1 FROM r WHERE n < 26)
    SELECT length(s || '1') + length(s || '2') + length(s || '3') + length(s || '4') + length(s || '5') + length(s || '6')
    FROM r WHERE n = 26"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to the bound")
def test_the_memory_of_a_session_is_bounded(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(server):
        assert execute(server, DOUBLED) == [(6 * (2**26 + 1),)]
    monkeypatch.setattr(postgres, "ADDRESS_SPACE", 512 * 1024**2)
    with running(server):
        with pytest.raises(psycopg.errors.OutOfMemory):
            execute(server, DOUBLED)
        assert execute(server, b"SELECT 1") == [(1,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_becomes_nobody_where_user_namespaces_are_forbidden(
    tmp_path: Path, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(server):
        execute(server, b"CREATE TABLE kept AS SELECT 1 AS n")
        execute(server, b"CHECKPOINT")
    monkeypatch.setattr(postgres, "AS_NOBODY_IN_NAMESPACE", ("false",))
    assert server.command()[: len(AS_NOBODY)] == list(AS_NOBODY)
    with running(server) as process:
        assert Path(f"/proc/{process.pid}").stat().st_uid == postgres.NOBODY
        assert execute(server, b"SELECT n FROM kept") == [(1,)]
    another = PostgresServer(server.bin, tmp_path / "another", free_port())
    another.initialise(PASSWORD)
    with running(another):
        assert execute(another, b"SELECT 1") == [(1,)]
