"""The state folder: one holder at a time, and what is generated once stays."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_project.errors import ConfigurationError, PipelineError
from pipeline_project.local.postgres import HOST, free_port
from pipeline_project.local.state import PREFERRED_PORTS, AlreadyRunning, State
from pipeline_project.settings import LocalSettings, Settings

HOLD = """
import sys
from pipeline_project.local.state import State
state = State.of_working_folder()
with state.locked():
    state.announce({"Dagster": "http://somewhere"})
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.chdir(tmp_path)
    state = State.of_working_folder()
    state.make_folders()
    return state


def test_looking_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = State.of_working_folder()
    assert state.holder() is None
    with pytest.raises(PipelineError, match="make run"):
        state.psql_conninfo("reader")
    assert list(tmp_path.iterdir()) == []


def test_a_second_holder_is_told_of_the_first(state: State) -> None:
    assert state.holder() is None
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning) as refused, state.locked():
            pass
        assert refused.value.holder.pid == first.pid
        assert refused.value.holder.addresses == {"Dagster": "http://somewhere"}
        first.kill()
    assert state.holder() is None
    with state.locked():
        holder = state.holder()
        assert holder is not None
        assert holder.pid == os.getpid()


def test_passwords_are_made_once_and_private(state: State) -> None:
    passwords = state.passwords()
    assert len(set(passwords.values())) == len(passwords)
    assert state.passwords() == passwords
    state.write_password_file()
    for path in (state.folder / "passwords.json", state.password_file):
        assert path.stat().st_mode & 0o777 == 0o600
    assert state.folder.stat().st_mode & 0o077 == 0


def test_a_port_stays_until_somebody_takes_it(state: State) -> None:
    ports, _ = state.ports()
    assert set(ports) == set(PREFERRED_PORTS)
    assert state.ports() == (ports, [])
    with socket.socket() as taker:
        taker.bind((HOST, ports["aws"]))
        taker.listen()
        moved, (line,) = state.ports()
    assert moved["aws"] != ports["aws"]
    assert {**moved, "aws": 0} == {**ports, "aws": 0}
    assert str(ports["aws"]) in line
    assert str(moved["aws"]) in line
    assert state.ports() == (moved, [])


def test_sockets_are_within_the_limit_however_deep_the_folder_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path.joinpath(*["a rather long name of a folder"] * 6)
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    state = State.of_working_folder()
    state.make_sockets()
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(state.sockets / "supervisor.sock"))
        state.make_sockets()
        state.sockets.chmod(0o755)
        with pytest.raises(PipelineError, match="belongs to somebody else"):
            state.make_sockets()
    finally:
        (state.sockets / "supervisor.sock").unlink()
        state.sockets.rmdir()


def test_the_bound_of_the_start_is_a_setting(state: State) -> None:
    assert LocalSettings.load({}).local_start_timeout_seconds is None
    assert LocalSettings.load({"PIPELINE_LOCAL_START_TIMEOUT_SECONDS": "90"}).local_start_timeout_seconds == 90
    for malformed in ("soon", "0", "-1"):
        with pytest.raises(ConfigurationError, match="PIPELINE_LOCAL_START_TIMEOUT_SECONDS: "):
            LocalSettings.load({"PIPELINE_LOCAL_START_TIMEOUT_SECONDS": malformed})


def test_parts_never_share_a_port(state: State) -> None:
    (state.folder / "ports.json").write_text(json.dumps(dict.fromkeys(PREFERRED_PORTS, free_port())), "utf-8")
    ports, moves = state.ports()
    assert len(set(ports.values())) == len(ports)
    assert len(moves) == len(ports) - 1


def test_settings_are_read_back_by_the_other_commands(state: State) -> None:
    settings = Settings(
        landing_bucket="l", results_bucket="r", landing_queue_url="http://q", table_name="t", events_topic_arn="arn:e"
    )
    assert state.read_settings() is None
    state.write_settings(settings)
    assert Settings.load() == settings
    assert state.stack_environment.stat().st_mode & 0o777 == 0o600
