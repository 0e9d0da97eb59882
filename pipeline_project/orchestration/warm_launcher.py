"""Launches runs in warm workers (worker_server.py). What it cannot launch so, and heavy runs, go the stock way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._config.config_schema import UserConfigSchema
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._serdes import ConfigurableClassData

from pipeline_project.orchestration.launcher import WatchedRunLauncher
from pipeline_project.orchestration.names import HEAVY, WEIGHT_TAG
from pipeline_project.orchestration.worker_protocol import WorkersUnavailable, ask

WORKER_TAG = ".pipeline/worker"
"""The socket of the server whose worker has the run. Dagster's UI hides tags that begin with a dot."""
TESTED = "1.13."
"""Versions of Dagster whose internals the workers are known to fit."""


class WarmRunLauncher(WatchedRunLauncher):
    """`socket` is the server's; without it, or with an untested Dagster, everything is as with the stock launcher."""

    def __init__(self, socket: str | None = None, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._socket = Path(socket) if socket else None

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {"socket": dg.Field(dg.Noneable(dg.StringSource), is_required=False, default_value=None)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        return cls(config_value.get("socket"), inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        if self._socket is None or run.tags.get(WEIGHT_TAG) == HEAVY:
            super().launch_run(context)
            return
        try:
            if not dg.__version__.startswith(TESTED):
                raise WorkersUnavailable(f"they are not known to fit Dagster {dg.__version__}")
            # Before the run starts: run monitoring must never find it without.
            self._instance.add_run_tags(run.run_id, {WORKER_TAG: str(self._socket)})
            ask(self._socket, {"ask": "start", "run_id": run.run_id})
        except WorkersUnavailable as reason:
            self._instance.report_engine_event(
                f"No warm worker ({reason}): the run starts in a process of its own", run, cls=type(self)
            )
            super().launch_run(context)

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        socket = self._worker_socket(run)
        if run is None or socket is None:
            return super().terminate(run_id)
        if run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        try:
            return ask(socket, {"ask": "terminate", "run_id": run_id})["signalled"]
        except WorkersUnavailable as reason:
            self._instance.report_engine_event(f"The worker cannot be told to stop ({reason})", run, cls=type(self))
            return False

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """A worker dies with its server; so a server that answers and does not know the run is proof of its end."""
        socket = self._worker_socket(run)
        if socket is None:
            return super().check_run_worker_health(run)
        try:
            found = ask(socket, {"ask": "health", "run_id": run.run_id})
        except WorkersUnavailable as reason:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"the worker server is away ({reason})")
        if found["alive"]:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, found["end"])

    @staticmethod
    def _worker_socket(run: dg.DagsterRun | None) -> Path | None:
        """None: the run was not given to a worker, or started in a process of its own after all."""
        if run is None or WORKER_TAG not in run.tags or GRPC_INFO_TAG in run.tags:
            return None
        return Path(run.tags[WORKER_TAG])
