"""Starts and ends Dagster runs of jobs over GraphQL, without importing dagster."""

import json
import urllib.error
import urllib.request
from typing import Any

from pipeline_project.errors import Transient
from pipeline_project.jobs.model import Job
from pipeline_project.settings import Settings

JOB_TAG = "pipeline/job_id"
TRACE_TAG = ".pipeline/trace"
"""Dagster's UI hides tags that begin with a dot."""
DAGSTER_JOB = {
    "repositoryName": "__repository__",
    "repositoryLocationName": "pipeline_project",
    "jobName": "analytics_job",
}
TIMEOUT_SECONDS = 3.0
"""Whoever submits waits for it; what was not launched by then is launched by a sensor."""

LAUNCH = """
mutation Launch($execution: ExecutionParams!) {
  launchRun(executionParams: $execution) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
  }
}
"""
TERMINATE = """
mutation Terminate($run: String!) { terminateRun(runId: $run) { __typename } }
"""


def launch(job: Job, settings: Settings) -> str:
    """The id of the Dagster run that was launched for the job. Transient if Dagster is away or does not take it."""
    execution = {
        "selector": DAGSTER_JOB,
        "runConfigData": run_config(job),
        "executionMetadata": {"tags": [{"key": name, "value": value} for name, value in run_tags(job).items()]},
    }
    answer = _graphql(settings, LAUNCH, {"execution": execution})["launchRun"]
    if answer["__typename"] != "LaunchRunSuccess":
        raise Transient(f"Dagster did not launch the job: {answer['__typename']}")
    return answer["run"]["runId"]


def run_config(job: Job) -> dict[str, Any]:
    return {"ops": {"run_operation": {"config": {"job_id": job.id}}}}


def run_tags(job: Job) -> dict[str, str]:
    return {JOB_TAG: job.id, "pipeline/operation": job.operation} | ({TRACE_TAG: job.trace} if job.trace else {})


def terminate(run_id: str, settings: Settings) -> None:
    """Ask Dagster to end a run; one that is at an end already stays as it is. Transient if Dagster is away."""
    _graphql(settings, TERMINATE, {"run": run_id})


def _graphql(settings: Settings, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 the address is a setting
        f"{settings.dagster_url.rstrip('/')}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            answer = json.load(response)
    except (OSError, ValueError) as error:
        raise Transient("Dagster cannot be reached; the job is launched as soon as it can") from error
    if "errors" in answer or not answer.get("data"):
        raise Transient("Dagster did not understand the request")
    return answer["data"]
