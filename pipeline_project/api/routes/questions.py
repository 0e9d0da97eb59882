"""Questions as requests bring them: an operation, its parameters and the options of the result, read strictly."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from pipeline_project.analytics.catalogue import Operation, operation
from pipeline_project.analytics.parameters import Parameters
from pipeline_project.api.http.problems import Problem
from pipeline_project.api.http.requests import Request, parse_json
from pipeline_project.results.options import Format, Numbers, ResultOptions

IN_QUERY = ("numbers", "row_limit", "byte_limit")
"""Options that a query string can have. It makes no file, so a format would mean nothing."""
IN_BODY = ("format", *IN_QUERY)
MEMBERS = ("operation", "parameters", *IN_BODY, "labels")
CHOICES = {"format": Format, "numbers": Numbers}
LARGEST_LIMIT = 10**15
MOST_LABELS = 20
LABEL_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
LABEL_VALUE = re.compile(r"[ -~]{0,128}")


class Question(NamedTuple):
    """A question that was understood."""

    operation: Operation
    parameters: Parameters
    options: ResultOptions
    labels: Mapping[str, str]


def question_in_body(request: Request) -> Question:
    """Read `{"operation": …, "parameters": {…}}` with the options beside them. All but the operation may be left out."""
    body = request.json_object()
    if unknown := sorted(set(body) - set(MEMBERS)):
        raise _invalid(unknown[0][:60], "extra_forbidden", f"a body has {', '.join(MEMBERS)}")
    name = body.get("operation")
    if not isinstance(name, str):
        raise _invalid("operation", "string", "name one of GET /analytics/operations")
    options = _options({name: value for name, value in body.items() if name in IN_BODY})
    labels = _labels(body.get("labels", {}))
    chosen = operation(name)
    return Question(chosen, chosen.validate(body.get("parameters", {})), options, labels)


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
        options = _options({name: _number(value) for name, value in single.items() if name in IN_QUERY})
    except Problem as problem:
        raise Problem("invalid_query", problem.detail) from None
    return Question(chosen, chosen.validate(values), options, {})


def _number(value: Any) -> Any:
    """Give a whole number for its digits, and anything else as it is."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value


def _options(given: Mapping[str, Any]) -> ResultOptions:
    return ResultOptions(**{name: _option(name, value) for name, value in given.items()})


def _option(name: str, value: Any) -> Any:
    if name in CHOICES:
        if value not in list(CHOICES[name]):
            raise _invalid(name, "enum", f"one of {', '.join(CHOICES[name])}")
        return CHOICES[name](value)
    # For JSON, 10.0 is a whole number, too.
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if not is_number or not 1 <= value <= LARGEST_LIMIT or value != int(value):
        raise _invalid(name, "range", f"a whole number from 1 to {LARGEST_LIMIT:,}")
    return int(value)


def _labels(given: Any) -> Mapping[str, str]:
    if not isinstance(given, dict) or len(given) > MOST_LABELS:
        raise _invalid("labels", "object", f"an object with at most {MOST_LABELS} names and values")
    for name, value in given.items():
        if not LABEL_NAME.fullmatch(name):
            raise _invalid(f"labels.{name[:60]}", "pattern", f"a name matches {LABEL_NAME.pattern}")
        if not isinstance(value, str) or not LABEL_VALUE.fullmatch(value):
            raise _invalid(f"labels.{name}", "pattern", f"a value is text that matches {LABEL_VALUE.pattern}")
    return given


def _invalid(field: str, rule: str, message: str) -> Problem:
    errors = [{"field": field, "rule": rule, "message": message}]
    return Problem("invalid_body", f"{field}: {message}", errors=errors)
