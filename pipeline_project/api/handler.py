"""The Lambda's entry: the routes, and around them what every answer has in common.

No answer leaves here without its headers, and no error but as a problem document: what nobody expected is logged with
the request's id and answered with 500 and that id alone.
"""

import base64
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pipeline_project import logs
from pipeline_project.analytics.catalogue import InvalidParameters
from pipeline_project.api.documentation import documents
from pipeline_project.api.http.problems import Problem
from pipeline_project.api.http.replies import (
    TRY_AGAIN_SECONDS,
    Reply,
    common_headers,
    encoded,
    preflight,
    problem_reply,
)
from pipeline_project.api.http.requests import Request
from pipeline_project.api.routes import health
from pipeline_project.api.routes import jobs as job_routes
from pipeline_project.api.routes import queries as query_routes
from pipeline_project.api.routes import rows as row_routes
from pipeline_project.errors import Permanent, Transient
from pipeline_project.services import Services
from pipeline_project.settings import Settings

logger = logging.getLogger("pipeline.api")
ATTEMPTS = 3
"""Calls to AWS before an error counts: the caller waits."""


class Route(NamedTuple):
    """A path with values in it, and what answers one method of it."""

    method: str
    rule: str
    answer: Callable[..., Reply]

    def values(self, path: str) -> Mapping[str, str] | None:
        """Give the values in a path, or None if it is another path."""
        if path == self.rule:
            return {}
        match = re.fullmatch(re.sub(r"<(\w+)>", r"(?P<\1>[^/]+)", self.rule), path)
        return None if match is None else match.groupdict()


ROUTES = (
    Route("GET", "/health", health.health),
    Route("GET", "/analytics", query_routes.ask_by_query),
    Route("POST", "/analytics", query_routes.ask),
    Route("GET", "/analytics/operations", query_routes.operations),
    Route("GET", "/analytics/jobs", job_routes.list_jobs),
    Route("POST", "/analytics/jobs", job_routes.submit_job),
    Route("GET", "/analytics/jobs/<job_id>", job_routes.show_job),
    Route("POST", "/analytics/jobs/<job_id>/cancel", job_routes.cancel_job),
    Route("GET", "/analytics/jobs/<job_id>/result", job_routes.job_result),
    Route("GET", "/analytics/jobs/<job_id>/rows", row_routes.job_rows),
    Route("GET", "/download/.+", job_routes.download),
    Route("GET", "/openapi.json", documents.openapi),
    Route("GET", "/docs", documents.docs),
)
METHODS_OF = {"GET": ("GET", "HEAD"), "POST": ("POST",)}
"""Methods of a request that a route with a method answers."""


def of_function(settings: Settings | None = None) -> Services:
    """Make the container of the function, which has one request at a time and a caller who can send it again."""
    return Services(settings, attempts=ATTEMPTS, keeps_connections=True)


class Api:
    """The facade over one set of services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def respond(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer API Gateway's event (REST, payload 1.0) in API Gateway's form."""
        started = time.perf_counter()
        request = Request(event)
        try:
            reply = self._reply(request)
        except Exception as error:
            reply = problem_reply(_problem(error, request), request)
        body, headers = encoded(reply, request)
        _log(request, reply.status, time.perf_counter() - started)
        is_text = "Content-Encoding" not in headers
        return {
            "statusCode": reply.status,
            "headers": {**common_headers(request, self._services.settings), **headers},
            "body": body.decode() if is_text else base64.b64encode(body).decode(),
            "isBase64Encoded": not is_text,
        }

    def _reply(self, request: Request) -> Reply:
        path = request.path.rstrip("/") or "/"
        found = {route.method: (route, values) for route in ROUTES if (values := route.values(path)) is not None}
        if not found:
            raise Problem("not_found", "there is no such path; see /docs")
        # HEAD is GET without the body, which `encoded` leaves out.
        if known := found.get("GET" if request.method == "HEAD" else request.method):
            route, values = known
            return route.answer(request, self._services, **values)
        methods = [*(each for method in found for each in (METHODS_OF[method])), "OPTIONS"]
        if request.method == "OPTIONS":
            return preflight(request, self._services.settings, methods)
        allow = ", ".join(methods)
        raise Problem("method_not_allowed", f"take one of {allow}", headers={"Allow": allow})


def _problem(error: Exception, request: Request) -> Problem:
    """The error families as answers. What is not one of ours is logged in full and told to nobody."""
    match error:
        case Problem():
            return error
        case InvalidParameters():
            return Problem(error.code, str(error), errors=error.errors)
        case Permanent() | Transient() if error.code != "internal_error":
            code = error.code or ("unavailable" if isinstance(error, Transient) else "bad_request")
            # A query that was ended is permanent for its job, and may still succeed when the caller sends it again.
            is_worth_trying = isinstance(error, Transient) or code == "unavailable"
            again = {"Retry-After": str(TRY_AGAIN_SECONDS)} if is_worth_trying else {}
            return Problem(code, str(error), headers=again)
    logger.error("%s in request %s", type(error).__name__, request.id, exc_info=error, extra={"request_id": request.id})
    if _is_away(error):
        detail = "a service this needs is away or busy"
        return Problem("unavailable", detail, headers={"Retry-After": str(TRY_AGAIN_SECONDS)})
    return Problem("internal_error", "it is logged under the request_id")


def _is_away(error: Exception) -> bool:
    if "boto3" not in sys.modules:  # then it cannot be of AWS
        return False
    from pipeline_project import aws  # noqa: PLC0415 boto3

    return aws.is_transient(error)


def _log(request: Request, status: int, seconds: float) -> None:
    line = {"request_id": request.id, "method": request.method, "path": request.path[:200], "status": status}
    logger.info("request", extra={**line, "milliseconds": round(seconds * 1000, 1)})


_api: Api | None = None


def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """What the Lambda runs. The settings are read at the first request."""
    global _api  # noqa: PLW0603 the one thing that outlives a request
    if _api is None:
        logging.getLogger().handlers.clear()  # Lambda's own, which would write each line again
        logs.configure()
        _api = Api(of_function())
    return _api.respond(event)
