"""Dagster's default run launcher, extended: run monitoring can check whether a run still has a process.

Without this check, a run whose code server was killed stays "started" forever, and its objects wait for it.
"""

import json

from dagster import DagsterRun, DefaultRunLauncher
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster_shared.serdes import deserialize_value


class WatchedRunLauncher(DefaultRunLauncher):
    """The launcher. A run is active while the code server that started it knows the run."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return FAILED only if the code server answers and does not know the run. If it is away, it is asked again."""
        address = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
        if not address:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, "the run does not say which code server started it")
        client = DagsterGrpcClient(
            host=address.get("host"),
            port=address.get("port"),
            socket=address.get("socket"),
            use_ssl=bool(address.get("use_ssl")),
        )
        try:
            answer = deserialize_value(
                client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id)), CanCancelExecutionResult
            )
        except DagsterUserCodeUnreachableError:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "the code server is away")
        if answer.can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "its process died, or the code server that started it")
