"""Executes one job, from its claim to its end. Called by the Dagster op; knows nothing of Dagster."""

import logging
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from pipeline_project import aws
from pipeline_project.analytics.catalogue import operation
from pipeline_project.analytics.execution import Row, Rows, execute
from pipeline_project.analytics.failures import QueryTimedOut
from pipeline_project.database import Database, is_transient
from pipeline_project.errors import Permanent, PipelineError, Transient
from pipeline_project.jobs.model import Failure, Job, Result, State
from pipeline_project.jobs.outbox import Event, job_ended
from pipeline_project.jobs.store import JobStore, StateConflict
from pipeline_project.jobs.watch import BEAT_SECONDS, Watch
from pipeline_project.results.store import write
from pipeline_project.settings import Settings

TRIES = 5
"""Of a job by one run, if what fails may pass by itself."""
FIRST_PAUSE_SECONDS = 1.0
"""After the first try. The pause doubles with each try, so that all pauses take 15 seconds."""

logger = logging.getLogger("pipeline.jobs")


class Courier(Protocol):
    """Sends an event that is in the outbox (notify/delivery.py)."""

    def send(self, event: Event) -> bool: ...


class _Stopped(PipelineError):
    """The watch has spoken: there is no use in going on."""


def run_job(
    job_id: str,
    run_id: str,
    *,
    store: JobStore,
    database: Database,
    s3: Any,
    settings: Settings,
    notifier: Courier,
    beat_seconds: float = BEAT_SECONDS,
) -> Job:
    """Claim the job for this run, execute it and write its end; the job as it then stands.

    A run that does not get the claim leaves at once, with the job as somebody else has it. `database` is the reader's.
    Raises Permanent if there is no such job, and what DynamoDB raises if the end cannot be written: then the run has
    failed, and the job is settled by reconcile.py.
    """
    try:
        job = store.claim(job_id, run_id)
    except StateConflict as conflict:
        if conflict.job is None:
            raise Permanent(f"there is no job {job_id}") from None
        return conflict.job
    watch = Watch(store, job, run_id, database, settings.job_timeout_seconds, beat_seconds)
    try:
        with watch:
            result = _result(job, watch, database, s3, settings)
        ended = store.finish(job, State.SUCCEEDED, result=result)
    except StateConflict as conflict:
        # Between the last look and the end somebody asked to cancel, or the run was given up for lost.
        ended = _end_conflicting(store, job, conflict)
    except _Stopped:
        ended = _end_stopped(store, job, watch.verdict, settings)
    except Exception as error:
        ended = _end_failed(store, job, error, settings)
    if ended.state.is_final and ended.run_id == run_id:
        notifier.send(job_ended(ended))
    return ended


def _result(job: Job, watch: Watch, database: Database, s3: Any, settings: Settings) -> Result:
    """Write the result, again and again while what fails may pass by itself."""
    chosen = operation(job.operation)
    parameters = chosen.validate(job.parameters)
    pause = FIRST_PAUSE_SECONDS
    for attempt in range(1, TRIES + 1):
        try:
            with execute(
                database,
                chosen,
                parameters,
                timeout_seconds=settings.job_timeout_seconds,
                on_backend=watch.backend,
            ) as rows:
                # A folder for each run that claimed it: one given up for lost may still be writing.
                prefix = f"jobs/{job.id}/{job.attempts}"
                manifest = write(s3, settings.results_bucket, prefix, _counted(rows, watch, job.row_limit), job.options)
                return msgspec.convert(msgspec.to_builtins(manifest), Result)
        except Exception as error:
            if watch.verdict is not None:
                raise _Stopped from error
            if attempt == TRIES or not (is_transient(error) or aws.is_transient(error)):
                raise
            logger.warning("job %s: try %d of %d failed: %s", job.id, attempt, TRIES, type(error).__name__)
        finally:
            watch.no_backend()
        watch.pause(pause)
        pause *= 2
    raise AssertionError("the last try returns or raises")


def _counted(rows: Rows, watch: Watch, row_limit: int | None) -> Rows:
    """Rows that are counted for the job's progress, and that end when the watch says so."""

    def batches() -> Iterator[list[Row]]:
        for batch in rows:
            if watch.verdict is not None:
                raise _Stopped
            yield batch
            watch.rows += len(batch)

    return Rows(
        operation=rows.operation,
        parameters=rows.parameters,
        versions=rows.versions,
        columns=rows.columns,
        batches=batches(),
        row_limit=row_limit,
    )


def _end_stopped(store: JobStore, job: Job, verdict: State | None, settings: Settings) -> Job:
    try:
        if verdict is State.CANCELLING:
            return store.finish(job, State.CANCELLED)
        if verdict is State.TIMED_OUT:
            return store.finish(job, State.TIMED_OUT, error=_timed_out(settings))
    except StateConflict as conflict:
        return _end_conflicting(store, job, conflict)
    return _as_it_stands(store, job)


def _end_failed(store: JobStore, job: Job, error: Exception, settings: Settings) -> Job:
    try:
        if isinstance(error, QueryTimedOut):
            return store.finish(job, State.TIMED_OUT, error=_timed_out(settings))
        return store.finish(job, State.FAILED, error=failure(error))
    except StateConflict as conflict:
        return _end_conflicting(store, job, conflict)


def _end_conflicting(store: JobStore, job: Job, conflict: StateConflict) -> Job:
    """Somebody asked to cancel since the last look; or the run was given up for lost, and the job is another's."""
    if conflict.job is not None and conflict.job.state is State.CANCELLING and conflict.job.run_id == job.run_id:
        return store.finish(job, State.CANCELLED)
    return _as_it_stands(store, job)


def _as_it_stands(store: JobStore, job: Job) -> Job:
    found = store.get(job.id)
    if found is None:
        raise Permanent(f"job {job.id} has expired")
    return found


def _timed_out(settings: Settings) -> Failure:
    return Failure(code="timed_out", detail=f"the job took longer than {settings.job_timeout_seconds:,} s")


def failure(error: Exception) -> Failure:
    """What the record says of an error: ours speak for themselves, of others only the kind is told."""
    if isinstance(error, Transient):
        return Failure(code="unavailable", detail=f"{error}; tried {TRIES} times")
    if isinstance(error, Permanent):
        return Failure(code=error.code or "failed", detail=str(error))
    logger.error("an error that nobody foresaw", exc_info=error)
    return Failure(code="internal_error", detail=f"{type(error).__name__}; the run's log has more")
