"""The run launcher tells a run whose process is gone from one whose code server is merely away."""

import json
from pathlib import Path

import pytest
from dagster import DagsterRun
from dagster._core.launcher import WorkerStatus
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionResult
from dagster_shared.serdes import serialize_value

from pipeline_project.orchestration.compatibility.run_launcher import WatchedRunLauncher


def run_of(socket: Path) -> DagsterRun:
    return DagsterRun(
        job_name="job", tags={".dagster/grpc_info": json.dumps({"host": "localhost", "socket": str(socket)})}
    )


@pytest.mark.parametrize(("known", "status"), [(True, WorkerStatus.RUNNING), (False, WorkerStatus.FAILED)])
def test_a_run_lives_as_long_as_its_code_server_knows_it(
    known: bool, status: WorkerStatus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = serialize_value(CanCancelExecutionResult(can_cancel=known))
    monkeypatch.setattr(DagsterGrpcClient, "can_cancel_execution", lambda *_: answer)
    assert WatchedRunLauncher().check_run_worker_health(run_of(tmp_path / "socket")).status is status


def test_a_code_server_that_is_away_is_asked_again(tmp_path: Path) -> None:
    launcher = WatchedRunLauncher()
    assert launcher.supports_check_run_worker_health
    assert launcher.check_run_worker_health(run_of(tmp_path / "nobody")).status is WorkerStatus.RUNNING
    assert launcher.check_run_worker_health(DagsterRun(job_name="job")).status is WorkerStatus.UNKNOWN
