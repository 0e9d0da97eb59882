"""`/analytics` and `/analytics/operations`: what can be asked, and asking it while one waits."""

from typing import Any

from pipeline_project.analytics import catalogue
from pipeline_project.analytics.catalogue import Operation
from pipeline_project.api.http.problems import Problem
from pipeline_project.api.http.replies import Reply
from pipeline_project.api.http.requests import Request
from pipeline_project.api.routes.answers import Answer, TooMuch, answer
from pipeline_project.api.routes.jobs import submit
from pipeline_project.api.routes.questions import Question, question_in_body, question_in_query
from pipeline_project.jobs.model import Reason
from pipeline_project.services import Services


def operations(request: Request, _services: Services) -> Reply:
    """The catalogue."""
    request.query()
    return Reply(200, {"operations": [_described(each) for each in catalogue.operations().values()]})


def _described(each: Operation) -> dict[str, Any]:
    return {
        "name": each.name,
        "summary": each.summary,
        "description": each.description,
        "long": each.long,
        "parameters": each.parameters.model_json_schema(),
        "example": {"operation": each.name, "parameters": dict(each.example)},
    }


def ask_by_query(request: Request, services: Services) -> Reply:
    """GET: `?operation=…` with the parameters in the query, each by its name or all as JSON in `parameters`.

    It changes nothing and so never makes a job of it.
    """
    asked = question_in_query(request)
    if asked.operation.long:
        raise Problem("not_inline", f"{asked.operation.name} always runs as a job")
    try:
        seconds = _seconds(services, None)
        found = answer(services, asked, seconds, fresh=request.wants_fresh())
        return _answered(request, found)
    except TooMuch as error:
        raise Problem("not_inline", str(error)) from None


def ask(request: Request, services: Services) -> Reply:
    """POST: the answer if it comes in time and is small, else 202 and a job."""
    request.query()
    request.idempotency_key()  # a malformed one is refused whether or not it comes to a job
    preference = request.preference()
    asked = question_in_body(request)
    if preference.respond_async:
        return _promoted(request, services, asked, "asked")
    if asked.operation.long:
        return _promoted(request, services, asked, "long")
    try:
        seconds = _seconds(services, preference.wait)
        found = answer(services, asked, seconds, fresh=request.wants_fresh())
    except TooMuch as error:
        return _promoted(request, services, asked, error.reason)
    reply = _answered(request, found)
    return reply._replace(headers={**reply.headers, **_applied(request)})


def _seconds(services: Services, wait: int | None) -> float:
    bound = services.settings.query_timeout_seconds
    return bound if wait is None else max(0.05, min(wait, bound))


def _answered(request: Request, found: Answer) -> Reply:
    etag = f'"{found.etag}"'
    headers = {
        "ETag": etag,
        # A private cache may keep it and has to ask each time, which costs us one small query.
        "Cache-Control": "private, no-cache",
        "Cache-Status": _cache_status(found),
    }
    if request.method == "GET" and request.matches(etag):
        return Reply(304, headers=headers)
    return Reply(200, found.body, headers)


def _cache_status(found: Answer) -> str:
    """As RFC 9211 spells it."""
    if not found.kept:
        return "pipeline; fwd=bypass"
    return "pipeline; hit" if found.hit else "pipeline; fwd=miss; stored"


def _promoted(request: Request, services: Services, asked: Question, reason: Reason) -> Reply:
    reply = submit(request, services, asked, reason)
    return reply._replace(headers={**reply.headers, **_applied(request)})


def _applied(request: Request) -> dict[str, str]:
    applied = request.preference().applied
    return {"Preference-Applied": applied} if applied else {}
