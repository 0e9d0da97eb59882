"""The Python client and `pipeline jobs` against the Lambda behind the emulator's gateway; and against a gateway that fails."""

import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline_project.cli.jobs import app
from pipeline_project.client import ApiError, ApiUnavailable, Client, DamagedDownload, Document
from pipeline_project.errors import Permanent
from pipeline_project.settings import PREFIX
from pipeline_project_tests.fix_live_api import LiveApi

pytestmark = pytest.mark.slow
PARAMETERS = {"metric": "revenue", "group_by": "industry", "top_n": 3}


@pytest.fixture
def client(live_api: LiveApi) -> Client:
    return Client(live_api.url, sleep=lambda seconds: None)


def test_ask(client: Client) -> None:
    assert client.ask("revenue_analysis", PARAMETERS)["parameters"] == PARAMETERS
    assert "simple_demo" in [each["name"] for each in client.operations()]


def test_from_submission_to_file(client: Client, tmp_path: Path) -> None:
    key = str(uuid.uuid4())
    job = client.submit("database_info", result_format="csv", idempotency_key=key)
    assert client.submit("database_info", result_format="csv", idempotency_key=key)["id"] == job["id"]
    seen: list[str] = []
    ended = client.wait(job["id"], timeout=30, on_look=lambda each: seen.append(each["state"]))
    assert ended["state"] == "SUCCEEDED"
    assert seen[-1] == "SUCCEEDED"
    told: list[tuple[int, int]] = []
    path = client.download(job["id"], tmp_path / "x.csv", on_bytes=lambda have, size: told.append((have, size)))
    assert path.stat().st_size == ended["result"]["bytes"] == told[-1][0] == told[-1][1]
    assert job["id"] in [each["id"] for each in client.jobs(operation="database_info", state="SUCCEEDED", limit=1)]


def test_download_goes_on(client: Client, tmp_path: Path) -> None:
    job = client.wait(client.submit("database_info")["id"])
    whole = client.download(job["id"], tmp_path / "whole").read_bytes()
    (tmp_path / "again.part").write_bytes(whole[:100])
    first: list[int] = []
    again = client.download(job["id"], tmp_path / "again", on_bytes=lambda have, size: first.append(have))
    assert again.read_bytes() == whole
    (tmp_path / "bad.part").write_bytes(b"x" * len(whole))
    with pytest.raises(DamagedDownload):
        client.download(job["id"], tmp_path / "bad")
    assert not (tmp_path / "bad.part").exists()
    assert client.download(job["id"], tmp_path / "bad").read_bytes() == whole


def test_refusals(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="top_n") as caught:
        client.ask("revenue_analysis", {"top_n": 0})
    assert (caught.value.status, caught.value.code) == (422, "invalid_parameters")
    with pytest.raises(ApiError) as caught:
        client.download(str(uuid.uuid4()), tmp_path / "x")
    assert caught.value.code == "not_found"


class Moods:
    """Answers that a gateway in trouble gives, one after another; then what the real one says."""

    def __init__(self, statuses: list[int]) -> None:
        self.statuses = statuses
        self.keys: list[str | None] = []
        self.slept: list[float] = []


@contextmanager
def troubled(statuses: list[int]) -> Iterator[tuple[Client, Moods]]:
    moods = Moods(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            moods.keys.append(self.headers["Idempotency-Key"])
            status = moods.statuses.pop(0)
            if status == 0:
                self.close_connection = True
                return
            body = json.dumps({"id": "1", "detail": "busy"}).encode()
            self.send_response(status)
            self.send_header("Retry-After", "7")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 http.server's name
            """Nothing: the test's output is the test's."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield Client(f"http://127.0.0.1:{server.server_port}", tries=4, sleep=moods.slept.append), moods
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("call", [Client.submit, Client.ask])
def test_a_busy_api_is_asked_again_under_the_same_key(call: Callable[..., Document]) -> None:
    with troubled([503, 0, 429, 202]) as (client, moods):
        assert call(client, "simple_demo")["id"] == "1"
    assert len(set(moods.keys)) == 1
    assert moods.keys[0] is not None
    assert len(moods.keys) == 4
    assert moods.slept[0] == moods.slept[2] == 7  # Retry-After


def test_an_api_that_stays_away() -> None:
    with troubled([503] * 4) as (client, _), pytest.raises(ApiUnavailable, match="busy"):
        client.submit("simple_demo")


# --- the commands


def test_the_commands_need_an_address_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # where no platform was started
    assert CliRunner().invoke(app, ["submit", "--help"]).exit_code == 0
    with pytest.raises(Permanent, match="Give --url, or set PIPELINE_API_URL"):
        CliRunner().invoke(app, ["list"], catch_exceptions=False)


def test_commands(live_api: LiveApi, tmp_path: Path) -> None:
    def run(*arguments: str, status: int = 0) -> str:
        done = CliRunner().invoke(app, ["--url", live_api.url, *arguments])
        assert done.exit_code == status, (done.output, done.exception)
        return done.stdout

    ended = run("submit", "revenue_analysis", "--param", "top_n=3", "-p", "group_by=industry", "--wait")
    assert ended.split()[1] == "SUCCEEDED"
    job_id = run("submit", "simple_demo", "--format", "csv").strip()
    assert run("wait", job_id) == f"{job_id} SUCCEEDED\n"
    assert job_id in run("list", "--operation", "simple_demo")
    assert json.loads(run("list", "--json", "--limit", "1"))[0]["id"]
    assert json.loads(run("show", job_id))["format"] == "csv"
    assert run("cancel", job_id) == "SUCCEEDED\n"
    assert run("download", job_id, "-o", str(tmp_path / "x.csv")).strip() == str(tmp_path / "x.csv")
    assert "revenue_analysis: " in run("operations")
    run("submit", "simple_demo", "-p", "nonsense", status=2)
    waiting = live_api.cloud.jobs().submit("simple_demo", {}, "anonymous")[0]
    assert "SUBMITTED" in run("wait", waiting.id, "--timeout", "0.1", status=6)
    run("cancel", waiting.id)
    assert run("wait", waiting.id, status=4).split()[1] == "CANCELLED"
