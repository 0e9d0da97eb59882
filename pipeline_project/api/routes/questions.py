"""Questions as requests bring them: an operation, its parameters and the options of the result, read strictly."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline_project.analytics.catalogue import Operation, operation
from pipeline_project.analytics.parameters import Parameters
from pipeline_project.api.http.problems import Problem
from pipeline_project.api.http.requests import Request, parse_json
from pipeline_project.results.options import Format, Numbers, ResultOptions

IN_QUERY = ("numbers",)
"""Options that a query string can have. It makes no file, so a format would mean nothing."""
IN_BODY = ("format", *IN_QUERY)
CHOICES = {"format": Format, "numbers": Numbers}


class Question(NamedTuple):
    """A question that was understood."""

    operation: Operation
    parameters: Parameters
    options: ResultOptions


def question_in_body(request: Request) -> Question:
    """Read `{"operation": …, "parameters": {…}}` with the options beside them. All but the operation may be left out."""
    body = request.json_object()
    members = ("operation", "parameters", *IN_BODY)
    if unknown := sorted(set(body) - set(members)):
        raise _invalid(unknown[0][:60], "extra_forbidden", f"a body has {', '.join(members)}")
    name = body.get("operation")
    if not isinstance(name, str):
        raise _invalid("operation", "string", "name one of GET /analytics/operations")
    options = _options({name: value for name, value in body.items() if name in IN_BODY})
    chosen = operation(name)
    return Question(chosen, chosen.validate(body.get("parameters", {})), options)


def question_in_query(request: Request) -> Question:
    """Read `?operation=…` with the parameters, each by its name or all as JSON in `parameters`, and the options."""
    given = request.query_lists(*request.query_names())
    names = given.get("operation", [])
    if len(names) != 1:
        raise Problem("invalid_query", "name one operation: ?operation=…")
    chosen = operation(names[0])
    # A list of one value is written like a single value.
    lists = chosen.plain_lists
    single = {name: each[0] if len(each) == 1 and name not in lists else each for name, each in given.items()}
    values: Any = {name: value for name, value in single.items() if name not in ("operation", "parameters", *IN_QUERY)}
    if "parameters" in given:
        if values or len(given["parameters"]) != 1:
            raise Problem("invalid_query", "give the parameters each by its name or once as JSON, not both")
        values = parse_json(given["parameters"][0].encode(), "invalid_parameters")
    try:
        options = _options({name: value for name, value in single.items() if name in IN_QUERY})
    except Problem as problem:
        raise Problem("invalid_query", problem.detail) from None
    return Question(chosen, chosen.validate(values), options)


def _options(given: Mapping[str, Any]) -> ResultOptions:
    for name, value in given.items():
        if value not in list(CHOICES[name]):
            raise _invalid(name, "enum", f"one of {', '.join(CHOICES[name])}")
    return ResultOptions(**{name: CHOICES[name](value) for name, value in given.items()})


def _invalid(field: str, rule: str, message: str) -> Problem:
    errors = [{"field": field, "rule": rule, "message": message}]
    return Problem("invalid_body", f"{field}: {message}", errors=errors)
