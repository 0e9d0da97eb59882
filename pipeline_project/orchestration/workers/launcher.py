"""A run launcher that starts runs in warm workers (server.py).

Heavy runs start cold, and so do all runs while no worker is available: in a process of their own on a laptop, in an ECS task
of their own on AWS.
"""

import json
from collections.abc import Mapping
from typing import Any, Self

import dagster as dg
from dagster._config.config_schema import UserConfigSchema
from dagster._core.instance import DagsterInstance
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from pipeline_project.orchestration.compatibility import internals
from pipeline_project.orchestration.compatibility.run_launcher import WatchedRunLauncher
from pipeline_project.orchestration.names import HEAVY, WEIGHT_TAG
from pipeline_project.orchestration.workers.protocol import NobodyListens, WorkersUnavailable, ask, is_remote, resolved

WORKER_TAG = ".pipeline/worker"
"""Tag with the address of the server whose worker has the run. Empty for a run that started cold, because a re-executed run
inherits the tags of the earlier run. Dagster's UI hides tags that begin with a dot."""


class WarmRunLauncher(RunLauncher, ConfigurableClass):
    """The launcher. `socket` is the address of the server. Without it, or with an untested Dagster, all runs start cold.

    `cold` is the launcher for cold runs; the default is Dagster's own. A run whose process died fails and is not resumed, as
    in Dagster's own launcher. A re-execution, or the next run with its objects, starts from the beginning.
    """

    def __init__(
        self,
        socket: str | None = None,
        cold: RunLauncher | None = None,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        super().__init__()
        self._inst_data = inst_data
        self._address = socket
        self._cold = cold or WatchedRunLauncher()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        another = {"module": str, "class": str, "config": dg.Field(dg.Permissive(), is_required=False)}
        return {
            "socket": dg.Field(dg.Noneable(dg.StringSource), is_required=False, default_value=None),
            "cold": dg.Field(another, is_required=False),
        }

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        cold = config_value.get("cold")
        return cls(config_value.get("socket"), _launcher(cold) if cold else None, inst_data)

    def register_instance(self, instance: DagsterInstance) -> None:
        super().register_instance(instance)
        self._cold.register_instance(instance)

    def dispose(self) -> None:
        self._cold.dispose()

    def join(self, timeout: int = 30) -> None:
        self._cold.join(timeout)

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        if self._address is None or run.tags.get(WEIGHT_TAG) == HEAVY:
            self._launch_cold(context)
            return
        try:
            if not internals.are_known():
                raise WorkersUnavailable(f"they are not known to fit Dagster {dg.__version__}")
            address = resolved(self._address)
            # Add the tag before the run starts: run monitoring must never find the run without its tag.
            self._instance.add_run_tags(run.run_id, {WORKER_TAG: address})
            ask(address, {"ask": "start", "run_id": run.run_id})
        except WorkersUnavailable as reason:
            self._instance.report_engine_event(f"No warm worker ({reason}): the run starts cold", run, cls=type(self))
            self._launch_cold(context)

    def _launch_cold(self, context: LaunchRunContext) -> None:
        self._instance.add_run_tags(context.dagster_run.run_id, {WORKER_TAG: ""})
        self._cold.launch_run(context)

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        address = self._worker(run)
        if run is None or address is None:
            return self._cold.terminate(run_id)
        if run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        try:
            return ask(address, {"ask": "terminate", "run_id": run_id})["signalled"]
        except WorkersUnavailable as reason:
            self._instance.report_engine_event(f"The worker cannot be told to stop ({reason})", run, cls=type(self))
            return False

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Check whether the process of a run exists.

        A worker dies with its server. If the server answers and does not know the run, the run has ended. If no server
        listens on this machine, it is being restarted. A server on another machine does not come back, because its task is
        replaced by a task with another address. A missing answer alone proves nothing.
        """
        address = self._worker(run)
        if address is None:
            return self._cold.check_run_worker_health(run)
        try:
            found = ask(address, {"ask": "health", "run_id": run.run_id})
        except WorkersUnavailable as reason:
            has_ended = isinstance(reason, NobodyListens) and is_remote(address)
            status = WorkerStatus.FAILED if has_ended else WorkerStatus.RUNNING
            return CheckRunHealthResult(status, f"the worker server is away ({reason})")
        if found["alive"]:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, found["end"])

    @staticmethod
    def _worker(run: dg.DagsterRun | None) -> str | None:
        """Return the address of the run's worker server. None if the run started cold."""
        return (run.tags.get(WORKER_TAG) or None) if run else None


def _launcher(configured: Mapping[str, Any]) -> RunLauncher:
    """Create a launcher in the same way as Dagster creates those of dagster.yaml."""
    config = json.dumps(configured.get("config", {}))  # JSON is valid YAML
    return ConfigurableClassData(configured["module"], configured["class"], config).rehydrate(as_type=RunLauncher)
