"""Dagster's web server with a middleware. Its own command line has no option for a middleware."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.log import configure_loggers
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.cli import DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_MAX_OVERFLOW, DEFAULT_POOL_RECYCLE
from dagster_webserver.version import __version__

LIVE_DATA_MILLISECONDS = 2_000
"""Interval in which the web UI updates assets. It is the default of Dagster's command line."""


def serve(workspace: Path, host: str, port: int, middleware: Callable[[Any], Any]) -> None:
    """Serve the instance of DAGSTER_HOME until a signal ends the process. `middleware` takes the app and returns another."""
    configure_loggers(log_level="INFO")
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW)
        target = WorkspaceFileTarget(paths=[str(workspace)])
        with WorkspaceProcessContext(instance, target, version=__version__) as context:
            app = create_app_from_workspace_process_context(context, live_data_poll_rate=LIVE_DATA_MILLISECONDS)
            # h11 hands the request target on as it was sent; httptools drops the host of a whole URL.
            uvicorn.run(
                middleware(app),
                host=host,
                port=port,
                http="h11",
                ws="websockets-sansio",
                log_level="warning",
                proxy_headers=False,
            )
