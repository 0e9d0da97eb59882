"""`/analytics` and `/analytics/operations`: what can be asked, and asking it while one waits."""

from typing import Any

from pipeline_project.analytics import catalogue
from pipeline_project.analytics.catalogue import Operation
from pipeline_project.api.http.problems import Problem
from pipeline_project.api.http.replies import Reply
from pipeline_project.api.http.requests import Preference, Request
from pipeline_project.api.routes.answers import Answer, TooMuch, answer
from pipeline_project.api.routes.jobs import submit
from pipeline_project.api.routes.questions import Question, question_in_body, question_in_query
from pipeline_project.services import Services

LEAST_SECONDS = 0.05
"""Time that a query gets with `wait=0`. A cached answer takes less."""


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
    question = question_in_query(request)
    if question.operation.long:
        raise Problem("not_inline", f"{question.operation.name} always runs as a job")
    try:
        seconds = services.settings.query_timeout_seconds
        found = answer(services, question, seconds, fresh=request.wants_fresh())
        return _answered(request, found)
    except TooMuch as error:
        raise Problem("not_inline", str(error)) from None


def ask(request: Request, services: Services) -> Reply:
    """POST: the answer if it comes in time and is small, else 202 and a job."""
    request.query()
    request.idempotency_key()  # a malformed one is refused whether or not it comes to a job
    bound = services.settings.query_timeout_seconds
    preference = request.preference().within(bound)
    applied = {"Preference-Applied": str(preference)} if str(preference) else {}
    reply = _answer_or_job(request, services, question_in_body(request), preference, bound)
    return reply._replace(headers={**reply.headers, **applied})


def _answer_or_job(
    request: Request, services: Services, question: Question, preference: Preference, bound: int
) -> Reply:
    if preference.respond_async and preference.wait is None:
        return submit(request, services, question, "asked")
    if question.operation.long:
        return submit(request, services, question, "long")
    seconds = bound if preference.wait is None else max(LEAST_SECONDS, preference.wait)
    try:
        return _answered(request, answer(services, question, seconds, fresh=request.wants_fresh()))
    except TooMuch as error:
        return submit(request, services, question, error.reason)


def _answered(request: Request, found: Answer) -> Reply:
    etag = f'"{found.content.digest}"'
    headers = {
        "ETag": etag,
        # A private cache may keep it and has to ask each time, which costs us one small query.
        "Cache-Control": "private, no-cache",
        "Cache-Status": _cache_status(found),
    }
    if request.method != "POST" and request.matches(etag):
        return Reply(304, headers=headers)
    if request.takes_gzip():
        return Reply(200, found.content.packed, {**headers, "Content-Encoding": "gzip"})
    return Reply(200, found.content.body, headers)


def _cache_status(found: Answer) -> str:
    """As RFC 9211 spells it."""
    if not found.kept:
        return "pipeline; fwd=bypass"
    return "pipeline; hit" if found.hit else "pipeline; fwd=miss; stored"
