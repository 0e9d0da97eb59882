"""The catalogue of operations: one definition each drives SQL, Dagster asset and job, REST validation, OpenAPI, CLI and
docs/operations.md. No database here (execution.py) and no parameter models (parameters.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline_project.analytics import parameters as p
from pipeline_project.errors import Permanent


class UnknownOperation(Permanent):
    """No operation has this name; the message lists those there are."""


class InvalidParameters(Permanent):
    """Parameters that an operation does not take. `errors` is [{"field", "rule", "message"}, …], never empty."""

    def __init__(self, operation: str, errors: list[dict[str, str]]) -> None:
        listed = "; ".join(f"{e['field']}: {e['message']}" for e in errors)
        super().__init__(f"invalid parameters for {operation}: {listed}")
        self.errors = errors


@dataclass(frozen=True)
class Operation:
    """`sql` names a file below sql/analytics/. `long`: too slow to answer inline, always a job."""

    name: str
    summary: str
    description: str
    parameters: type[p.Parameters]
    sql: str
    example: Mapping[str, Any] = field(default_factory=dict)
    long: bool = False

    def validate(self, given: Any) -> p.Parameters:
        """The parameters with defaults filled in. Raises InvalidParameters, naming each field and what is allowed."""
        if not isinstance(given, Mapping):
            message = "parameters are an object of names and values"
            raise InvalidParameters(self.name, [{"field": "parameters", "rule": "object", "message": message}])
        try:
            return self.parameters.model_validate(given)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)
            raise InvalidParameters(self.name, [self._described(detail) for detail in details]) from None

    def _described(self, detail: ErrorDetails) -> dict[str, str]:
        name = ".".join(str(part) for part in detail["loc"]) or "parameters"
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            allowed = ", ".join(self.parameters.model_fields) or "no parameters"
            message = f"not a parameter of {self.name}, which takes {allowed}"
        return {"field": name, "rule": detail["type"], "message": message}


_ALL = (
    Operation(
        name="database_info",
        summary="What the database holds: tables, columns, row counts, sizes, schema version.",
        description="One row per table that analytics can see. Rows are counted, not estimated; sizes include indexes.",
        parameters=p.NoParameters,
        sql="database_info",
    ),
    Operation(
        name="simple_demo",
        summary="Entities and revenue of each source system.",
        description="The shortest way to see that data has arrived: one row per source and entity type.",
        parameters=p.NoParameters,
        sql="simple_demo",
    ),
    Operation(
        name="revenue_analysis",
        summary="The entities with the greatest amounts in each segment, with ranks and shares.",
        description=(
            "Ranks the entities of each segment by the metric and lists the first `top_n`, with their share of the "
            "segment, the running share, and the segment's place among the segments. Equal amounts share a rank "
            "(1, 1, 3); which of them are listed is settled by canonical id. Entities without the amount do not take "
            "part; those without the dimension form the segment null."
        ),
        parameters=p.RevenueAnalysis,
        sql="revenue_analysis",
        example={"metric": "revenue", "group_by": "industry", "top_n": 3},
    ),
)

OPERATIONS: Mapping[str, Operation] = MappingProxyType({operation.name: operation for operation in _ALL})


def operation(name: str) -> Operation:
    """The operation of this name. Raises UnknownOperation."""
    try:
        return OPERATIONS[name]
    except (KeyError, TypeError):
        raise UnknownOperation(f"no such operation; there are {', '.join(OPERATIONS)}") from None
