"""Dagster's web server as this platform starts it. Dagster and uvicorn are stand-ins that note what they are given."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_webserver import cli

from pipeline_project.orchestration.compatibility import webserver


class Instance:
    """Notes the settings of its storage."""

    def __init__(self) -> None:
        self.optimized: list[tuple[int, int, int]] = []

    def optimize_for_webserver(self, *settings: int) -> None:
        self.optimized.append((settings[0], settings[1], settings[2]))


def test_the_web_server_is_that_of_dagster_behind_the_middleware(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = Instance()
    served: dict[str, Any] = {}

    @contextmanager
    def get() -> Iterator[Instance]:
        yield instance

    @contextmanager
    def process(given: Any, target: Any, *, version: str) -> Iterator[tuple[Any, list[str]]]:
        assert version
        yield given, target.paths

    def app(context: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
        assert context == (instance, ["/srv/workspace.yaml"])
        return "app", options

    monkeypatch.setattr(dg.DagsterInstance, "get", get)
    monkeypatch.setattr(webserver, "WorkspaceProcessContext", process)
    monkeypatch.setattr(webserver, "create_app_from_workspace_process_context", app)
    monkeypatch.setattr(webserver.uvicorn, "run", lambda made, **options: served.update(options, app=made))
    webserver.serve(Path("/srv/workspace.yaml"), "127.0.0.1", 3000, lambda made: ["behind", made])
    assert instance.optimized == [
        (cli.DEFAULT_DB_STATEMENT_TIMEOUT, cli.DEFAULT_POOL_RECYCLE, cli.DEFAULT_POOL_MAX_OVERFLOW)
    ]
    assert served == {
        "app": ["behind", ("app", {"live_data_poll_rate": 2_000})],
        "host": "127.0.0.1",
        "port": 3000,
        "http": "h11",
        "ws": "websockets-sansio",
        "log_level": "warning",
        "proxy_headers": False,  # whoever calls says nothing about its address
    }
