"""Dagster's run queue, but that light ingest runs need not wait until the daemon looks at it: they start at once while
there is room.

They leave room: a full pool of runs from the queue fits beside them, for each pool. And as they are fewer than a pool holds,
some of the ingest pool is left for what waits in the queue, heavy runs and backfills. So nothing starves, however steadily
files arrive, and files need not wait for what takes long.
"""

from dagster import DagsterRun, DagsterRunStatus, QueuedRunCoordinator, RunsFilter
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from pipeline_project.orchestration.names import ANALYTICS_POOL, BATCH_TAG, HEAVY, INGEST_POOL, WEIGHT_TAG

POOLS = (INGEST_POOL, ANALYTICS_POOL)


class PromptRunCoordinator(QueuedRunCoordinator):
    """Configured as its parent. The limits hold, but for moments in which two runs are submitted at once."""

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        run = context.dagster_run
        if not self._is_prompt(run):
            return super().submit_run(context)
        self._instance.launch_run(run.run_id, context.workspace)
        return self._instance.get_run_by_id(run.run_id) or run

    def _is_prompt(self, run: DagsterRun) -> bool:
        if not _is_light(run) or run.status != DagsterRunStatus.NOT_STARTED:
            return False
        limits = self._instance.get_concurrency_config()
        most = self.get_run_queue_config().max_concurrent_runs
        most_light = most - len(POOLS) * (limits.pool_config.default_pool_limit or 0)
        at_work = self._instance.get_runs(RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES))
        return len(at_work) < most and sum(map(_is_light, at_work)) < most_light


def _is_light(run: DagsterRun) -> bool:
    return BATCH_TAG in run.tags and run.tags.get(WEIGHT_TAG) != HEAVY
