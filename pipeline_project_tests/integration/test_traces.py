"""Traces: from a request to the run of its job, and of ingestion; off unless a setting says otherwise."""

import json
from contextlib import closing
from typing import Any

import dagster as dg
import msgspec
import pytest
from botocore.awsrequest import AWSResponse

from pipeline_project import tracing
from pipeline_project.api.handler import of_function
from pipeline_project.definitions import definitions
from pipeline_project.jobs.launch import TRACE_TAG, run_config, run_tags
from pipeline_project.orchestration.names import ANALYTICS_JOB, INGEST_JOB
from pipeline_project.services import Services
from pipeline_project.settings import Settings
from pipeline_project_tests.fix_api import Caller
from pipeline_project_tests.fix_aws import Fault, answer_with
from pipeline_project_tests.fix_postgres import FreshDatabase

TRACE, PARENT = "1-5759e988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
HEADER = f"Root={TRACE};Parent={PARENT};Sampled=1;Lineage=1:a87bd80c:0"
NOBODY = "http://127.0.0.1:9"


class XRay:
    """What it was sent; it answers with `status`."""

    def __init__(self, client: Any, status: int = 200) -> None:
        self.segments: list[dict[str, Any]] = []
        self._status = status
        client.meta.events.register("before-send.xray", self._take)

    def _take(self, request: Any, **_context: Any) -> AWSResponse:
        self.segments += [json.loads(each) for each in json.loads(request.body)["TraceSegmentDocuments"]]
        fault: Fault = (self._status, b'{"UnprocessedTraceSegments": []}')
        return answer_with(request, fault)


@pytest.fixture
def traced(settings: Settings, database: FreshDatabase) -> Any:
    with closing(Services(msgspec.structs.replace(settings, traces="x-ray"))) as platform:
        yield platform


def submitted(settings: Settings, monkeypatch: pytest.MonkeyPatch, header: str) -> str:
    """Through the function, as Lambda has it; the job's id."""
    monkeypatch.setenv("_X_AMZN_TRACE_ID", header)
    with closing(of_function(msgspec.structs.replace(settings, dagster_url=NOBODY))) as services:
        answer = Caller(services)("POST", "/analytics/jobs", body={"operation": "simple_demo"})
    assert answer.status == 202 and "trace" not in answer.json
    return answer.json["id"]


def executed(platform: Services, job_id: str) -> dg.ExecuteInProcessResult:
    job = platform.jobs.get(job_id)
    assert job
    run = definitions(platform).get_repository_def().get_job(ANALYTICS_JOB)
    with dg.DagsterInstance.ephemeral() as instance:
        return run.execute_in_process(run_config=run_config(job), tags=run_tags(job), instance=instance)


def test_a_job_is_a_part_of_the_trace_of_its_request(traced: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = XRay(traced.xray)
    job_id = submitted(traced.settings, monkeypatch, HEADER)
    run = executed(traced, job_id)
    [segment] = taken.segments
    assert (segment["trace_id"], segment["parent_id"], segment["name"]) == (TRACE, PARENT, "pipeline-jobs")
    assert segment["start_time"] < segment["end_time"] and segment["fault"] is False
    assert segment["annotations"] == {
        "job_id": job_id,
        "run_id": run.run_id,
        "operation": "simple_demo",
        "state": "SUCCEEDED",
    }


def test_what_is_not_sampled_is_not_traced(traced: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = XRay(traced.xray)
    executed(traced, submitted(traced.settings, monkeypatch, HEADER.replace("Sampled=1", "Sampled=0")))
    assert taken.segments == []


def test_off_by_default(platform: Services, database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    assert platform.xray is None
    job = platform.jobs.get(submitted(platform.settings, monkeypatch, HEADER))
    assert job and job.trace is None and TRACE_TAG not in run_tags(job)
    assert executed(platform, job.id).success


@pytest.mark.parametrize("status", [200, 503])
def test_ingestion_begins_a_trace_and_does_not_need_it(
    traced: Services, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    taken = XRay(traced.xray, status)
    repository = definitions(traced).get_repository_def()
    [asset] = [each for each in repository.get_job(INGEST_JOB).asset_layer.executable_asset_keys if "crm" in str(each)]
    job = repository.get_job(INGEST_JOB).get_subset(asset_selection={asset})
    with dg.DagsterInstance.ephemeral() as instance:
        run = job.execute_in_process(instance=instance, partition_key="2026-01-01")
    assert run.success
    segment, *again = taken.segments
    assert again in ([], [segment])  # botocore tries a second time
    assert segment["trace_id"].startswith("1-") and len(segment["trace_id"]) == len(TRACE)
    assert "parent_id" not in segment
    assert segment["annotations"] == {"run_id": run.run_id, "source": "crm", "objects": 0}
    assert [each.getMessage() for each in caplog.records if each.name == "pipeline.traces"] == (
        [] if status == 200 else ["a trace was not taken: ClientError"]
    )


def test_what_fails_is_marked(traced: Services) -> None:
    taken = XRay(traced.xray)
    with pytest.raises(ZeroDivisionError), tracing.segment(traced.xray, "one", HEADER):
        _ = 1 / 0
    assert [segment["fault"] for segment in taken.segments] == [True]
