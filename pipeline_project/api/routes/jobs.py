"""`/analytics/jobs`: submit, list, watch, cancel, fetch. A job of somebody else does not exist."""

import base64
import binascii
import hashlib
import json
import re
import time
import uuid
from collections.abc import Mapping
from datetime import timedelta

from pipeline_project.analytics.catalogue import operation
from pipeline_project.api.http.principal import principal
from pipeline_project.api.http.problems import Problem
from pipeline_project.api.http.replies import (
    LONGEST_WAIT_SECONDS,
    POLL_AGAIN_SECONDS,
    Links,
    Reply,
    job_document,
    job_headers,
)
from pipeline_project.api.http.requests import Request
from pipeline_project.api.routes.questions import Question, question_in_body
from pipeline_project.errors import Transient
from pipeline_project.jobs.model import Job, Reason, Result, State, moment, now, timestamp
from pipeline_project.results.options import Format
from pipeline_project.services import Services
from pipeline_project.settings import request_trace

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
WATCH_SECONDS = 0.25
LONGEST_PAGE = 100
USUAL_PAGE = 50


def submit_job(request: Request, services: Services) -> Reply:
    """POST: always a job."""
    request.query()
    return submit(request, services, question_in_body(request), None)


def submit(request: Request, services: Services, question: Question, reason: Reason | None) -> Reply:
    """202 with the job. The record is there before the run is launched: a sensor launches what was not."""
    job, new = services.jobs.submit(
        question.operation.name,
        question.parameters.as_json(),
        principal(request, services.settings),
        idempotency_key=request.idempotency_key(),
        options=question.options,
        labels=question.labels,
        reason=reason,
        trace=request_trace() if services.settings.traces == "x-ray" else None,
    )
    if new:
        job = _launch(job, services)
    links = Links(request, services.settings)
    replayed = {} if new else {"Idempotency-Replayed": "true"}
    return Reply(202, job_document(job, links), job_headers(job, links) | replayed)


def _launch(job: Job, services: Services) -> Job:
    from pipeline_project.jobs.launch import launch  # noqa: PLC0415 urllib

    try:
        run_id = launch(job, services.settings)
    except Transient:
        return job
    return services.jobs.launched(job.id, run_id) or known_job(job.id, job.owner, services)


def list_jobs(request: Request, services: Services) -> Reply:
    """GET: the caller's jobs, newest first."""
    given = request.query_lists("state", "operation", "label", "created_from", "created_before", "limit", "cursor")
    owner = principal(request, services.settings)
    single = {name: _single(name, values) for name, values in given.items() if name not in ("state", "label")}
    limit = whole_number("limit", single.get("limit", str(USUAL_PAGE)), 1, LONGEST_PAGE)
    filters = {
        "states": [_state(value) for value in given.get("state", [])],
        "operation": operation(single["operation"]).name if "operation" in single else None,
        "labels": [_label(value) for value in given.get("label", [])],
        "created_from": _time("created_from", single.get("created_from")),
        "created_before": _time("created_before", single.get("created_before")),
    }
    bound = json.dumps([owner, filters], sort_keys=True)
    after = _read_cursor(single["cursor"], bound) if "cursor" in single else None
    page = services.jobs.listing(owner, limit=limit, after=after, **filters)
    links = Links(request, services.settings)
    cursor = None if page.after is None else _cursor(page.after, bound)
    return Reply(200, {"jobs": [job_document(job, links) for job in page.jobs], "next_cursor": cursor})


def show_job(request: Request, services: Services, job_id: str) -> Reply:
    """GET: one job; with `wait` not before it is at an end or so many seconds have passed."""
    given = request.query("wait")
    wait = whole_number("wait", given.get("wait", "0"), 0, LONGEST_WAIT_SECONDS)
    deadline = time.monotonic() + wait
    owner = principal(request, services.settings)
    job = known_job(job_id, owner, services)
    while not job.state.is_final and time.monotonic() + WATCH_SECONDS <= deadline:
        time.sleep(WATCH_SECONDS)
        job = known_job(job_id, owner, services)
    links = Links(request, services.settings)
    return Reply(200, job_document(job, links), {} if job.state.is_final else _again())


def cancel_job(request: Request, services: Services, job_id: str) -> Reply:
    """POST: 202 while its run still has to see it, 200 if it is at an end (by this or by itself)."""
    request.query()
    request.no_body()
    before = known_job(job_id, principal(request, services.settings), services)
    job = services.jobs.request_cancel(before.id)
    if job.state is State.CANCELLED and before.state is State.QUEUED and before.run_id:
        _terminate(before.run_id, services)
    links = Links(request, services.settings)
    if job.state.is_final:
        return Reply(200, job_document(job, links))
    return Reply(202, job_document(job, links), job_headers(job, links))


def _terminate(run_id: str, services: Services) -> None:
    from pipeline_project.jobs.launch import terminate  # noqa: PLC0415 urllib

    try:
        terminate(run_id, services.settings)
    except Transient:
        return  # its claim is going to fail, and it leaves


def job_result(request: Request, services: Services, job_id: str) -> Reply:
    """GET: 303 to the file, or its link as JSON."""
    given = request.query("format", "redirect")
    wanted = given.get("format")
    if wanted is not None and wanted not in list(Format):
        raise Problem("invalid_query", f"format is one of {', '.join(Format)}")
    job = known_job(job_id, principal(request, services.settings), services)
    file = finished_result(job)
    if wanted not in (None, job.format):
        raise Problem("not_acceptable", f"the result is kept as {job.format}; submit a job with the format wanted")
    return _file(services, file.key, job.operation, is_redirect=_redirect(given))


def finished_result(job: Job) -> Result:
    """Give the result of a job that has one."""
    if not job.state.is_final:
        raise Problem("job_not_finished", f"the job is {job.state}", headers=_again())
    if job.result is None:
        raise Problem("job_without_result", f"the job is {job.state}")
    return job.result


def download(request: Request, services: Services) -> Reply:
    """GET: 303 to a file, or its link as JSON: of one of the caller's jobs, or the latest result of an operation."""
    is_redirect = _redirect(request.query("redirect"))
    owner = principal(request, services.settings)
    key = request.path.removeprefix("/download/")
    folder, _, rest = key.partition("/")
    operation = rest.partition("/")[0]
    if folder == "jobs":
        job = known_job(rest.partition("/")[0], owner, services)
        if job.result is None or job.result.key != key:
            raise Problem("not_found", "the job has no such file")
        operation = job.operation
    elif folder != "analytics":
        raise Problem("not_found", "there is no such file")
    return _file(services, key, operation, is_redirect=is_redirect)


def _redirect(given: Mapping[str, str]) -> bool:
    text = given.get("redirect", "true")
    if text not in ("true", "false"):
        raise Problem("invalid_query", "redirect is true or false")
    return text == "true"


def _file(services: Services, key: str, operation: str, *, is_redirect: bool) -> Reply:
    from pipeline_project.results.store import presign  # noqa: PLC0415 boto3

    settings = services.settings
    try:
        found = services.s3.head_object(Bucket=settings.results_bucket, Key=key)
    except services.s3.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        if key.startswith("jobs/"):
            raise Problem("result_expired", "the file was deleted when its time was over") from None
        raise Problem("not_found", "there is no such file") from None
    suffix = key.rpartition("/")[2].partition(".")[2]
    name = f"{operation}-{found['LastModified']:%Y%m%dT%H%M%SZ}.{suffix}"
    url = presign(services.s3, settings.results_bucket, key, name, settings.api_link_seconds)
    if is_redirect:
        return Reply(303, headers={"Location": url})
    expires = timestamp(now() + timedelta(seconds=settings.api_link_seconds))
    content = {"bytes": found["ContentLength"], "content_type": found["ContentType"]}
    return Reply(200, {"url": url, "expires_at": expires, "name": name, **content})


def known_job(job_id: str, owner: str, services: Services) -> Job:
    """Return a job of the caller. A job of another caller is not found."""
    try:
        well_formed = str(uuid.UUID(job_id)) == job_id
    except ValueError:
        well_formed = False
    job = services.jobs.get(job_id) if well_formed else None
    if job is None or job.owner != owner:
        raise Problem("not_found", "you have no job of this id")
    return job


def _again() -> dict[str, str]:
    return {"Retry-After": str(POLL_AGAIN_SECONDS)}


def _single(name: str, values: list[str]) -> str:
    if len(values) != 1:
        raise Problem("invalid_query", f"{name} is given {len(values)} times")
    return values[0]


def whole_number(name: str, text: str, least: int, most: int) -> int:
    """Read a number of the query string."""
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and least <= int(text) <= most):
        raise Problem("invalid_query", f"{name} is a whole number from {least} to {most}")
    return int(text)


def _state(text: str) -> State:
    try:
        return State(text)
    except ValueError:
        raise Problem("invalid_query", f"state is one of {', '.join(State)}") from None


def _label(text: str) -> str:
    if ":" not in text:
        raise Problem("invalid_query", "label is a name and a value, such as team:finance")
    return text


def _time(name: str, text: str | None) -> str | None:
    if text is None:
        return None
    try:
        found = moment(f"{text}T00:00:00Z" if DAY.fullmatch(text) else text)
        if found.tzinfo is None:
            raise ValueError(text)
        return timestamp(found)
    except (ValueError, OverflowError):
        raise Problem(
            "invalid_query", f"{name} is a day such as {now():%Y-%m-%d} (UTC), or a time such as {timestamp(now())}"
        ) from None


def _cursor(after: str, bound: str) -> str:
    """Where to go on. The checksum binds it to caller and filters; it is no secret, since what it names is no key to
    anything: another's jobs are not found with it."""
    return base64.urlsafe_b64encode(f"{_checksum(after, bound)}{after}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str, bound: str) -> str:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    after = text[16:]
    if not after or text[:16] != _checksum(after, bound):
        raise Problem("invalid_cursor", "take next_cursor of the page before, with the same filters")
    return after


def _checksum(after: str, bound: str) -> str:
    return hashlib.sha256(f"{bound}\n{after}".encode()).hexdigest()[:16]
