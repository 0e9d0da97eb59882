"""Analytics in Dagster: results as assets, submitted jobs, and the sensors that look after both."""

import base64
import json
import uuid
from typing import Any

import dagster as dg
import msgspec
import pytest

from pipeline_project.definitions import definitions
from pipeline_project.jobs.launch import run_config, run_tags
from pipeline_project.jobs.model import Job, State
from pipeline_project.jobs.reconcile import Run
from pipeline_project.orchestration.assets import analytics as analytics_assets
from pipeline_project.orchestration.assets.analytics import refreshed_operations
from pipeline_project.orchestration.automation.run_sensors import job_sensor, states
from pipeline_project.orchestration.names import ANALYTICS_JOB, result_key
from pipeline_project.services import Services
from pipeline_project.settings import Settings
from pipeline_project_tests.fix_postgres import FreshDatabase

API = "https://api.example.com/v1"


@pytest.fixture
def repository(platform: Services) -> dg.RepositoryDefinition:
    return definitions(platform).get_repository_def()


def read(platform: Services, key: str) -> bytes:
    return platform.s3.get_object(Bucket=platform.settings.results_bucket, Key=key)["Body"].read()


def test_every_operation_is_refreshed(
    settings: Settings, instance: dg.DagsterInstance, database: FreshDatabase
) -> None:
    platform = Services(msgspec.structs.replace(settings, api_url=API))
    repository = definitions(platform).get_repository_def()
    bucket = f"s3://{platform.settings.results_bucket}/"
    run = repository.get_job("monthly_refresh").execute_in_process(instance=instance)
    assert run.success
    for operation in refreshed_operations():
        [found] = run.asset_materializations_for_node(result_key(operation.name).to_python_identifier())
        metadata = {name: value.value for name, value in found.metadata.items()}
        assert f"/analytics/{operation.name}/history/" in str(metadata["dagster/uri"])
        latest = json.loads(read(platform, f"analytics/{operation.name}/latest.json"))
        assert len(latest["rows"]) == metadata["dagster/row_count"]
        titles = " | ".join(column["name"] for column in latest["columns"])
        assert str(metadata["preview"]).startswith(f"| {titles} |".replace("_", "\\_"))
        assert drawn(str(metadata["plot"])).startswith(b"\x89PNG")
        assert metadata["result"] == f"{API}/download/{str(metadata['dagster/uri']).removeprefix(bucket)}"


def drawn(markdown: str) -> bytes:
    return base64.b64decode(markdown.partition("base64,")[2].partition(")")[0])


def test_a_large_result_is_drawn_and_shown_in_part(
    platform: Services, instance: dg.DagsterInstance, database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analytics_assets, "PLOTTED", 3)
    run = definitions(platform).get_repository_def().get_job("daily_refresh").execute_in_process(instance=instance)
    [found] = run.asset_materializations_for_node(result_key("database_info").to_python_identifier())
    assert int(str(found.metadata["dagster/row_count"].value)) > 3
    assert str(found.metadata["plot"].value).endswith("Of the first 3 rows.")
    assert len(str(found.metadata["preview"].value).splitlines()) == 2 + 3


def submitted(platform: Services, operation: str = "simple_demo", **parameters: Any) -> Job:
    job, _ = platform.jobs.submit(operation, parameters, "me")
    return job


def execute(repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, job: Job) -> dg.ExecuteInProcessResult:
    return repository.get_job(ANALYTICS_JOB).execute_in_process(
        run_config=run_config(job), tags=run_tags(job), instance=instance, raise_on_error=False
    )


def test_a_submitted_job_is_executed_once(
    repository: dg.RepositoryDefinition, platform: Services, instance: dg.DagsterInstance, database: FreshDatabase
) -> None:
    job = submitted(platform)
    first, second = (execute(repository, instance, job) for _ in range(2))
    assert first.success and second.success
    ended = platform.jobs.get(job.id)
    assert ended and ended.result
    assert (ended.state, ended.run_id, ended.attempts) == (State.SUCCEEDED, first.run_id, 1)
    assert json.loads(read(platform, ended.result.key))["truncated"] is False


def test_the_run_of_a_job_that_fails_fails(
    repository: dg.RepositoryDefinition, platform: Services, instance: dg.DagsterInstance
) -> None:
    run = execute(repository, instance, submitted(platform, top_n="nonsense"))
    assert not run.success
    [failure] = run.filter_events(lambda event: event.is_step_failure)
    assert "invalid_parameters" in str(failure.step_failure_data.user_failure_data)


def test_the_job_sensor_settles_and_says_what_it_did(platform: Services, instance: dg.DagsterInstance) -> None:
    submitted(platform)
    with dg.build_sensor_context(instance=instance, resources={"platform": platform}) as context:
        result = job_sensor(context)
    assert isinstance(result, dg.SkipReason)
    assert result.skip_message and "launched: 0" in result.skip_message


def test_states_of_runs(instance: dg.DagsterInstance) -> None:
    ids = {}
    for status in (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE):
        ids[status] = str(uuid.uuid4())
        instance.add_run(dg.DagsterRun(job_name=ANALYTICS_JOB, run_id=ids[status], status=status))
    assert states(instance, [*ids.values(), str(uuid.uuid4())]) == {
        ids[dg.DagsterRunStatus.NOT_STARTED]: Run.WAITING,
        ids[dg.DagsterRunStatus.STARTED]: Run.STARTED,
        ids[dg.DagsterRunStatus.FAILURE]: Run.ENDED,
    }
    assert states(instance, []) == {}
