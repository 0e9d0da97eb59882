"""What is sent back: replies, links in them, and the headers that every answer carries."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from pipeline_project import exact_json
from pipeline_project.api.http.problems import CONTENT_TYPE, Problem
from pipeline_project.api.http.requests import Request
from pipeline_project.jobs.cache import packed
from pipeline_project.jobs.model import Job, State
from pipeline_project.settings import Settings

JSON = "application/json"
LONGEST_WAIT_SECONDS = 25
"""API Gateway gives up after 29."""
POLL_AGAIN_SECONDS = 1
TRY_AGAIN_SECONDS = 5
WORTH_COMPRESSING = 1_024
"""Bytes of a body. A smaller one goes into one packet in any case."""
TRACING_HEADERS = (
    "baggage, traceparent, tracestate, X-Amzn-Trace-Id, b3, X-B3-Flags, X-B3-ParentSpanId, X-B3-Sampled, X-B3-SpanId, "
    "X-B3-TraceId, sentry-trace, X-Datadog-Origin, X-Datadog-Parent-Id, X-Datadog-Sampling-Priority, X-Datadog-Trace-Id"
)
"""Headers that tracing adds to each request of a page: W3C, X-Ray, Zipkin, Sentry, Datadog. The API does not read them."""
REQUEST_HEADERS = (
    "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-None-Match, Prefer, X-Amz-Date, "
    f"X-Amz-Security-Token, X-Api-Key, {TRACING_HEADERS}"
)
EXPOSED_HEADERS = "Cache-Status, ETag, Idempotency-Replayed, Location, Preference-Applied, Retry-After, X-Request-Id"


class Reply(NamedTuple):
    """An answer. `body` is JSON if it is not said otherwise; None is none. Bytes are sent as they are."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = {}
    content_type: str = JSON


def problem_reply(problem: Problem, request: Request) -> Reply:
    return Reply(problem.status, problem.document(request.id), problem.headers, CONTENT_TYPE)


def common_headers(request: Request, settings: Settings) -> dict[str, str]:
    """Security, request id and CORS. What a route sets itself goes before these."""
    headers = {
        "X-Request-Id": request.id,
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "Vary": "Accept-Encoding, Origin",
        "X-Content-Type-Options": "nosniff",
    }
    origin = request.header("origin")
    if origin and origin in settings.api_allowed_origins.split(","):
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
    return headers


def preflight(request: Request, settings: Settings, methods: list[str]) -> Reply:
    """The answer to OPTIONS. To an origin not on the list it names no origin, which the browser takes for a no."""
    headers = {"Allow": ", ".join(methods)}
    if "Access-Control-Allow-Origin" in common_headers(request, settings):
        headers |= {
            "Access-Control-Allow-Methods": ", ".join(methods),
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": "3600",
        }
    return Reply(204, headers=headers)


def encoded(reply: Reply, request: Request) -> tuple[bytes, dict[str, str]]:
    """Give the body as it is sent, with the headers of the reply: compressed if the client takes that and it pays."""
    if reply.body is None:
        return b"", dict(reply.headers)
    body = reply.body
    if not isinstance(body, bytes):
        body = body.encode() if isinstance(body, str) else exact_json.encode(body)
    headers = {**reply.headers, "Content-Type": reply.content_type}
    if "Content-Encoding" not in headers and len(body) >= WORTH_COMPRESSING and request.takes_gzip():
        body = packed(body)
        headers["Content-Encoding"] = "gzip"
    if "Content-Encoding" in headers and "ETag" in headers:
        # A strong tag would say that the bytes are those that others get without compression.
        headers["ETag"] = f"W/{headers['ETag']}"
    return b"" if request.method == "HEAD" else body, headers


class Links:
    """Addresses of this API: absolute if the settings know the address, from the root of the host if not."""

    def __init__(self, request: Request, settings: Settings) -> None:
        self._base = settings.api_url.rstrip("/") if settings.api_url else request.stage_path

    def to(self, path: str) -> str:
        return f"{self._base}{path}"

    def job(self, job_id: str) -> str:
        return self.to(f"/analytics/jobs/{job_id}")

    def download(self, key: str) -> str:
        return self.to(f"/download/{quote(key)}")


def job_document(job: Job, links: Links) -> dict[str, Any]:
    """A job as clients see it. What it has not got yet is null, so that the form never changes."""
    here = links.job(job.id)
    return {
        "id": job.id,
        "operation": job.operation,
        "parameters": job.parameters,
        "format": job.format,
        "numbers": job.numbers,
        "row_limit": job.row_limit,
        "byte_limit": job.byte_limit,
        "labels": job.labels,
        "state": job.state,
        "reason": job.reason,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "expires_at": job.expires_at,
        "queued_seconds": job.queued_seconds,
        "run_seconds": job.run_seconds,
        "attempts": job.attempts,
        "progress": None if job.rows_written is None else {"rows": job.rows_written},
        "error": job.error,
        "result": None if job.result is None else _result(job, links),
        "links": {
            "self": here,
            "result": f"{here}/result" if job.state is State.SUCCEEDED else None,
            "rows": f"{here}/rows" if job.state is State.SUCCEEDED and job.format.is_paged else None,
            "cancel": None if job.state.is_final else f"{here}/cancel",
        },
    }


def _result(job: Job, links: Links) -> dict[str, Any]:
    result = msgspec.to_builtins(job.result)
    return {**result, "download": links.download(result["key"])}


def job_headers(job: Job, links: Links) -> dict[str, str]:
    """Where the job is, and when to look at it again if it is not at an end."""
    return {"Location": links.job(job.id)} | ({} if job.state.is_final else {"Retry-After": str(POLL_AGAIN_SECONDS)})
