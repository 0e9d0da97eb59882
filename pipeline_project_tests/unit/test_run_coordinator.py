"""Who starts at once and who waits, with the limits of both deployments: nothing starves, whatever else is at work."""

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.dagster_run import RunOpConcurrency
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from pipeline_project.definitions import defs
from pipeline_project.orchestration.compatibility.run_coordinator import POOLS, PromptRunCoordinator
from pipeline_project.orchestration.names import ANALYTICS_POOL, BATCH_TAG, HEAVY, INGEST_POOL, WEIGHT_TAG

FOLDER = Path(__file__).parents[2] / "deploy" / "dagster"
ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__"), "job")
LIGHT = {BATCH_TAG: "b"}
HEAVY_BATCH = {BATCH_TAG: "b", WEIGHT_TAG: HEAVY}
BACKFILL = {"dagster/backfill": "b"}


class Queue:
    """Runs that are at work or wait; none is ever launched."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
        self.limits = instance.get_concurrency_config()
        for pool in POOLS:  # as the daemon does once it has seen a run of it
            instance.event_log_storage.initialize_concurrency_limit_to_default(pool)

    @property
    def most(self) -> int:
        assert self.limits.run_queue_config
        return self.limits.run_queue_config.max_concurrent_runs

    @property
    def of_a_pool(self) -> int:
        assert self.limits.pool_config.default_pool_limit
        return self.limits.pool_config.default_pool_limit

    def add(self, status: dg.DagsterRunStatus, pool: str, tags: dict[str, str], count: int = 1) -> None:
        for _ in range(count):
            self._instance.add_run(_run(status, pool, tags))

    def is_prompt(self, tags: dict[str, str]) -> bool:
        coordinator = self._instance.run_coordinator
        assert isinstance(coordinator, PromptRunCoordinator)
        return coordinator._is_prompt(_run(dg.DagsterRunStatus.NOT_STARTED, INGEST_POOL, tags))

    def start_prompt(self) -> int:
        """Light runs, as many as start at once; how many that are."""
        started = 0
        while self.is_prompt(LIGHT):
            self.add(dg.DagsterRunStatus.STARTED, INGEST_POOL, LIGHT)
            started += 1
        return started

    def due(self) -> Counter[str]:
        """What the daemon would start now, by pool."""
        runs = self._daemon._get_runs_to_dequeue(self._instance, self.limits, fixed_iteration_time=None)
        return Counter(
            pool for run in runs if run.run_op_concurrency for pool in run.run_op_concurrency.all_pools or ()
        )


def _run(status: dg.DagsterRunStatus, pool: str, tags: dict[str, str]) -> dg.DagsterRun:
    return dg.DagsterRun(
        job_name="job",
        run_id=str(uuid.uuid4()),
        status=status,
        tags=tags,
        remote_job_origin=ORIGIN,
        run_op_concurrency=RunOpConcurrency(
            root_key_counts={pool: 1}, has_unconstrained_root_nodes=False, all_pools={pool}
        ),
    )


@pytest.fixture(params=["local", "aws"])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Queue]:
    """With the limits of a deployment, and its storage in a folder."""
    given = yaml.safe_load((FOLDER / f"{request.param}.yaml").read_text("utf-8"))
    kept = {key: given[key] for key in ("run_coordinator", "concurrency")} | {"telemetry": {"enabled": False}}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(kept), "utf-8")
    with ExitStack() as stack:
        yield Queue(stack.enter_context(dg.DagsterInstance.from_config(str(tmp_path))))


def test_a_steady_flow_of_files_starves_neither_analytics_nor_heavy_runs_nor_backfills(queue: Queue) -> None:
    light = queue.start_prompt()
    assert 0 < light < queue.of_a_pool
    queue.add(dg.DagsterRunStatus.QUEUED, ANALYTICS_POOL, {}, count=queue.most)
    queue.add(dg.DagsterRunStatus.QUEUED, INGEST_POOL, BACKFILL, count=queue.most)
    assert queue.due() == {ANALYTICS_POOL: queue.of_a_pool, INGEST_POOL: queue.of_a_pool - light}


def test_files_do_not_wait_for_what_takes_long(queue: Queue) -> None:
    for pool, tags in ((ANALYTICS_POOL, {}), (INGEST_POOL, BACKFILL)):
        queue.add(dg.DagsterRunStatus.STARTED, pool, tags, count=queue.of_a_pool)
        queue.add(dg.DagsterRunStatus.QUEUED, pool, tags, count=queue.most)
    assert queue.start_prompt() > 0
    assert queue.due() == {}


def test_all_at_once_stay_within_the_limit(queue: Queue) -> None:
    for pool in POOLS:
        queue.add(dg.DagsterRunStatus.STARTED, pool, {}, count=queue.of_a_pool)
    assert queue.start_prompt() + len(POOLS) * queue.of_a_pool == queue.most


@pytest.mark.parametrize("tags", [HEAVY_BATCH, BACKFILL, {}])
def test_others_wait_for_the_daemon(queue: Queue, tags: dict[str, str]) -> None:
    assert not queue.is_prompt(tags)
    queue.add(dg.DagsterRunStatus.QUEUED, INGEST_POOL, tags)
    assert queue.due() == {INGEST_POOL: 1}


def test_the_pools_are_those_that_there_are() -> None:
    nodes = [node for job in defs.get_repository_def().get_all_jobs() for node in job.all_node_defs]
    assert {node.pool for node in nodes if isinstance(node, dg.OpDefinition) and node.pool} == set(POOLS)
