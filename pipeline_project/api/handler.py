"""The Lambda's entry: routes on the Powertools resolver, and around them what every answer has in common.

No answer leaves here without its headers, and no error but as a problem document: what nobody expected is logged with
the request's id and answered with 500 and that id alone.
"""

import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aws_lambda_powertools.event_handler.api_gateway import APIGatewayRestResolver, Response

from pipeline_project import exact_json, logs
from pipeline_project.analytics.catalogue import InvalidParameters
from pipeline_project.api.documentation import documents
from pipeline_project.api.http.problems import Problem
from pipeline_project.api.http.replies import TRY_AGAIN_SECONDS, Reply, common_headers, preflight, problem_reply
from pipeline_project.api.http.requests import Request
from pipeline_project.api.routes import health
from pipeline_project.api.routes import jobs as job_routes
from pipeline_project.api.routes import queries as query_routes
from pipeline_project.errors import Permanent, Transient
from pipeline_project.services import Services
from pipeline_project.settings import Settings

logger = logging.getLogger("pipeline.api")
ATTEMPTS = 3
"""Calls to AWS before an error counts: the caller waits."""


class Route(NamedTuple):
    method: str
    rule: str
    answer: Callable[..., Reply]

    def matches(self, path: str) -> bool:
        return re.fullmatch(re.sub(r"<\w+>", "[^/]+", self.rule), path.rstrip("/") or "/") is not None


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
    Route("GET", "/download/.+", job_routes.download),
    Route("GET", "/openapi.json", documents.openapi),
    Route("GET", "/docs", documents.docs),
)


def of_function(settings: Settings | None = None) -> Services:
    """Make the container of the function, which has one request at a time and a caller who can send it again."""
    return Services(settings, attempts=ATTEMPTS, keeps_connections=True)


class Api:
    """The facade over one set of services. A request is held while it is answered: a Lambda has one at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._request: Request
        self._resolver = APIGatewayRestResolver()
        for route in ROUTES:
            self._resolver.route(route.rule, route.method)(self._bound(route))
        self._resolver.not_found(self._no_route)
        self._resolver.exception_handler(Exception)(self._failed)

    def respond(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """API Gateway's answer to API Gateway's event (REST, payload 1.0)."""
        started = time.perf_counter()
        self._request = Request(event)
        try:
            answer = self._resolver.resolve(event, context)
        except Exception as error:  # from the resolver itself: what a route raises is answered in it
            answer = _rendered(problem_reply(_problem(error, self._request), self._request))
        headers = {**common_headers(self._request, self._services.settings), **_single_valued(answer)}
        _log(self._request, answer["statusCode"], time.perf_counter() - started)
        return {
            "statusCode": answer["statusCode"],
            "headers": headers,
            "body": answer["body"],
            "isBase64Encoded": False,
        }

    def _bound(self, route: Route) -> Callable[..., Response]:
        def call(**path: str) -> Response:
            return _response(route.answer(self._request, self._services, **path))

        return call

    def _no_route(self, _error: Exception) -> Response:
        path = self._request.path
        methods = [route.method for route in ROUTES if route.matches(path)]
        if not methods or self._request.method in methods:  # of the latter the resolver refused some character
            return self._failed(Problem("not_found", "there is no such path; see /docs"))
        methods.append("OPTIONS")
        if self._request.method == "OPTIONS":
            return _response(preflight(self._request, self._services.settings, methods))
        allow = ", ".join(methods)
        return self._failed(Problem("method_not_allowed", f"take one of {allow}", headers={"Allow": allow}))

    def _failed(self, error: Exception) -> Response:
        return _response(problem_reply(_problem(error, self._request), self._request))


def _problem(error: Exception, request: Request) -> Problem:
    """The error families as answers. What is not one of ours is logged in full and told to nobody."""
    match error:
        case Problem():
            return error
        case InvalidParameters():
            return Problem("invalid_parameters", str(error), errors=error.errors)
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


def _single_valued(answer: Mapping[str, Any]) -> dict[str, str]:
    """The headers in one form: the resolver gives lists, our own rendering single values."""
    many: Mapping[str, list[str]] = answer.get("multiValueHeaders", {})
    return {**answer.get("headers", {}), **{name: values[-1] for name, values in many.items()}}


def _response(reply: Reply) -> Response:
    rendered = _rendered(reply)
    return Response(rendered["statusCode"], body=rendered["body"], headers=rendered["headers"])


def _rendered(reply: Reply) -> dict[str, Any]:
    body = reply.body
    if body is not None and not isinstance(body, bytes | str):
        body = exact_json.encode(body)
    headers = dict(reply.headers) | ({"Content-Type": reply.content_type} if body is not None else {})
    text = body.decode() if isinstance(body, bytes) else body or ""
    return {"statusCode": reply.status, "body": text, "headers": headers}


def _log(request: Request, status: int, seconds: float) -> None:
    line = {"request_id": request.id, "method": request.method, "path": request.path[:200], "status": status}
    logger.info("request", extra={**line, "milliseconds": round(seconds * 1000, 1)})


_api: Api | None = None


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """What the Lambda runs. The settings are read at the first request."""
    global _api  # noqa: PLW0603 the one thing that outlives a request
    if _api is None:
        logging.getLogger().handlers.clear()  # Lambda's own, which would write each line again
        logs.configure()
        _api = Api(of_function())
    return _api.respond(event, context)
