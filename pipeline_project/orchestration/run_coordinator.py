"""Dagster's run queue, but that light ingest runs need not wait until the daemon looks at it: they start at once while
there is room.
"""

from dagster import DagsterRun, DagsterRunStatus, QueuedRunCoordinator, RunsFilter
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from pipeline_project.orchestration.names import BATCH_TAG, HEAVY, WEIGHT_TAG


class PromptRunCoordinator(QueuedRunCoordinator):
    """Configured as its parent. The limit of concurrent runs holds, but for moments in which two are submitted at once."""

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        run = context.dagster_run
        if not self._is_prompt(run):
            return super().submit_run(context)
        self._instance.launch_run(run.run_id, context.workspace)
        return self._instance.get_run_by_id(run.run_id) or run

    def _is_prompt(self, run: DagsterRun) -> bool:
        if BATCH_TAG not in run.tags or run.tags.get(WEIGHT_TAG) == HEAVY or run.status != DagsterRunStatus.NOT_STARTED:
            return False
        most = self.get_run_queue_config().max_concurrent_runs
        started = self._instance.get_runs_count(RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES))
        return most < 0 or started < most
