"""The Dagster job that executes a job of the REST facade: one op, for the job record with the given ID."""

import time

import dagster as dg
from pydantic import Field

from pipeline_project import logs, tracing
from pipeline_project.jobs.launch import TRACE_TAG
from pipeline_project.jobs.model import State
from pipeline_project.jobs.run import run_job
from pipeline_project.notify import metrics
from pipeline_project.orchestration.names import ANALYTICS_JOB, ANALYTICS_POOL
from pipeline_project.services import Services

FAILURES = (State.FAILED, State.TIMED_OUT)
OUTCOMES = {State.SUCCEEDED: "JobsSucceeded", **dict.fromkeys(FAILURES, "JobsFailed")}
"""Metric for each final state. A cancelled job counts as neither."""


class JobConfig(dg.Config):
    """The job to execute."""

    job_id: str = Field(description="ID of the job record.")


@dg.op(pool=ANALYTICS_POOL, description="Claims a job, writes its result to S3 and its end to its record.")
def run_operation(context: dg.OpExecutionContext, config: JobConfig, platform: dg.ResourceParam[Services]) -> None:
    # It tries again by itself what may pass: the record tells of it, and a retry of the op would find it claimed.
    started = time.monotonic()
    about = {"job_id": config.job_id, "run_id": context.run.run_id}
    header = context.run.tags.get(TRACE_TAG)
    with logs.about(**about), tracing.segment(platform.xray, "pipeline-jobs", header, **about) as traced:
        job = run_job(
            config.job_id,
            context.run.run_id,
            store=platform.jobs,
            database=platform.reader,
            s3=platform.s3,
            settings=platform.settings,
            notifier=platform.delivery,
        )
        traced |= {"operation": job.operation, "state": str(job.state)}
    if job.run_id != context.run.run_id:
        context.log.info(f"job {job.id} is {job.state}; it is another run's ({job.run_id})")
        return
    if outcome := OUTCOMES.get(job.state):
        figures = {"JobDurationSeconds": round(time.monotonic() - started, 3), outcome: 1}
        metrics.emit(platform.settings.environment, figures, operation=job.operation)
    if job.result:
        context.add_output_metadata(
            {"rows": job.result.rows, "bytes": job.result.bytes, "key": job.result.key, "state": str(job.state)}
        )
    if job.state in FAILURES:
        reason = f"{job.error.code}: {job.error.detail}" if job.error else str(job.state)
        raise dg.Failure(f"{job.operation} {reason}", allow_retries=False)


@dg.job(
    name=ANALYTICS_JOB, description="A job that was submitted over REST. The facade launches it, or the job sensor."
)
def analytics_job() -> None:
    run_operation()
