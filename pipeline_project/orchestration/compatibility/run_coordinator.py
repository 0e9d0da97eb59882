"""Dagster's run queue, except that light ingestion runs start at once while there is room.

Light runs leave room for the queue: each pool can be full of queued runs at the same time. Light runs are also fewer than
the ingestion pool allows, so heavy runs and backfills in the queue always progress. Therefore no run starves, even if files
arrive without a pause, and light runs do not wait for long runs.
"""

from dagster import DagsterRun, DagsterRunStatus, QueuedRunCoordinator, RunsFilter
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from pipeline_project.orchestration.names import ANALYTICS_POOL, BATCH_TAG, HEAVY, INGEST_POOL, WEIGHT_TAG

POOLS = (INGEST_POOL, ANALYTICS_POOL)


class PromptRunCoordinator(QueuedRunCoordinator):
    """The coordinator. It is configured like its parent. Two submissions at the same moment can exceed a limit briefly."""

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
