"""The catalogue of operations: one definition each drives SQL, Dagster asset and job, REST validation, OpenAPI, CLI and
docs/operations.md. No database here (execution.py) and no parameter models (parameters.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline_project.analytics import parameters as p
from pipeline_project.errors import ConfigurationError, Permanent
from pipeline_project.plugins import by_name, plugged
from pipeline_project.schema.sql_files import query

RESERVED = frozenset({"operation", "parameters", "format", "numbers", "row_limit", "byte_limit", "labels"})
"""Members of a request beside the parameters of an operation. In a query string they are side by side."""


class UnknownOperation(Permanent):
    """No operation has this name; the message lists those there are."""

    code = "unknown_operation"


class InvalidParameters(Permanent):
    """Parameters that an operation does not take. `errors` is [{"field", "rule", "message"}, …], never empty."""

    code = "invalid_parameters"

    def __init__(self, operation: str, errors: list[dict[str, str]]) -> None:
        listed = "; ".join(f"{e['field']}: {e['message']}" for e in errors)
        self.errors = errors
        if all(each["rule"] == p.REFUSED for each in errors):
            # SQL has one code, whether the guard refuses it or PostgreSQL.
            self.code = "query_refused"
            super().__init__("; ".join(each["message"] for each in errors))
        else:
            super().__init__(f"invalid parameters for {operation}: {listed}")


@dataclass(frozen=True)
class Operation:
    """`sql` names a file below sql/analytics/. A plug-in gives the path of its own file.

    `lasting`: the answer stays the same as long as nothing is loaded, and
    may be kept. `long`: too slow to answer inline, always a job, and not refreshed by new data. `monthly`: refreshed each month
    instead of each day and by new data.

    `must_exist`: the parameter that, if it was given, names nothing if there are no rows; one that is a list is looked at
    before, since the others of the list give rows. `known`: a SQL file that lists what it can name, if that can be listed; for a
    list it must be. `nested_loops`: whether the planner may use them; not where it knows nothing of the sizes and
    every join is an equality (limits.sql).
    """

    name: str
    summary: str
    description: str
    parameters: type[p.Parameters]
    sql: str | Path
    example: Mapping[str, Any] = field(default_factory=dict)
    lasting: bool = True
    long: bool = False
    monthly: bool = False
    must_exist: str | None = None
    known: str | Path | None = None
    nested_loops: bool = True

    def __post_init__(self) -> None:
        """Refuse a parameter that a query string could not tell from a member of the request itself."""
        if taken := sorted(RESERVED & self.parameters.model_fields.keys()):
            message = (
                f"the operation {self.name} has a parameter `{taken[0]}`, which requests have for themselves; rename it"
            )
            raise ConfigurationError(message)

    @cached_property
    def statement(self) -> bytes:
        """The SQL that gives its rows."""
        return _text(self.sql)

    @cached_property
    def known_statement(self) -> bytes | None:
        """The SQL that lists what `must_exist` can name."""
        return None if self.known is None else _text(self.known)

    @cached_property
    def plain_lists(self) -> frozenset[str]:
        """The parameters that are lists, but for those that a text with commas can be."""
        return frozenset(
            name
            for name, field in self.parameters.model_fields.items()
            if p.CommaSeparated not in field.metadata and _has_list(field.annotation)
        )

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


def _text(sql: str | Path) -> bytes:
    return sql.read_bytes() if isinstance(sql, Path) else query(f"analytics/{sql}")


BUILT_IN = (
    Operation(
        name="database_info",
        summary="What the database holds: tables, columns with their types, row counts, sizes, schema version.",
        description=(
            "One row per table that analytics and queries of your own can see. Rows are counted, not estimated; sizes are of "
            "what is behind the table, with indexes."
        ),
        parameters=p.NoParameters,
        sql="database_info",
        lasting=False,
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
    Operation(
        name="customer_analysis",
        summary="Customers by segment: how many, total, mean, median and share of a metric.",
        description=(
            "Entities of type `customer`. Segments with fewer than `min_customers` are left out, but count in the shares. The "
            "median is exact; the mean is rounded to six places. Customers without the metric count in `customers` only."
        ),
        parameters=p.CustomerAnalysis,
        sql="customer_analysis",
        example={"metric": "lifetime_value", "group_by": "customer_tier", "min_customers": 2},
    ),
    Operation(
        name="count_analysis",
        summary="How many entities, relationships, versions or time-series points each segment has, and how densely.",
        description=(
            "`density` is the count for each entity of the segment, `coverage` the share of its entities that have any, `share` "
            "the segment's part of the whole count. A relationship counts at both of its ends."
        ),
        parameters=p.CountAnalysis,
        sql="count_analysis",
        example={"metric": "relationships", "group_by": "source"},
    ),
    Operation(
        name="multi_dimensional_analytics",
        monthly=True,
        summary="Revenue by period and up to three dimensions, with subtotals, growth, percentiles, share and tier.",
        description=(
            "`rollup` gives subtotals from everything (level 0) over the periods (1) down into the dimensions in the order "
            "given (2, 3, 4); `cube` those of every combination of period and dimensions. `grouped_by` names what a row is "
            "broken down by: a null there is a missing value, elsewhere a subtotal. `growth` is against the period before, if "
            "there is one, as a share of its size: from below zero, too, positive is up. `share` is of the period (of "
            "everything, where there is none, and for a period). `tier`: A for the greatest that make up 80 percent of that "
            "among their kind, B up to 95, C the rest; null where that is not above zero."
        ),
        parameters=p.MultiDimensionalAnalytics,
        sql="multi_dimensional_analytics",
        example={"timeframe": "quarter", "dimensions": ["type", "region"]},
    ),
    Operation(
        name="relationship_network",
        summary="What is connected to an entity, with counts and revenue of everything below.",
        description=(
            "Each entity within `depth` steps of the root once, at its least distance. What lies below it within this network is "
            "counted once, whether one path leads there or many; `in_cycle` tells that an entity lies below itself. Where "
            "everything lies below everything, finding that for each entity takes up to the cube of their number: "
            "beyond `roll_up_to` steps the root alone is rolled up, and `downstream_entities`, `total_revenue` and `in_cycle` "
            "of the others are null."
        ),
        parameters=p.RelationshipNetwork,
        sql="relationship_network",
        example={"root": "crm_1", "depth": 3, "direction": "downstream"},
        must_exist="root",
    ),
    Operation(
        name="time_series_patterns",
        summary="The course of a metric: moving average, growth, volatility, seasonality, trend and anomalies.",
        description=(
            "Adds the metric up over all entities by period. Moving average: of three periods. Growth: against the period "
            "before, as a share of its size; from below zero, too, positive is up. Volatility: standard deviation of six "
            "growths. Seasonality: mean of the same season against the mean of all. Slope: least squares over six periods, as "
            "a share of their mean; above one percent `rising`, below minus one `falling`, else `flat`; `volatile` above a "
            "volatility of one half. Anomaly: more than three standard deviations from the mean of the twelve periods before, "
            "of which at least six must be there; after a constant course whatever leaves it, with a null `deviation`. "
            "Periods without points are listed with a null value. Points count whether or not their entity is there (any "
            "more): a customer who left had revenue, and a past without those who left would be no past. `count_analysis` "
            "counts the living."
        ),
        parameters=p.TimeSeriesPatterns,
        sql="time_series_patterns",
        example={"analysis_period": "month", "metric": "revenue"},
        must_exist="metric",
        known="metric_types",
    ),
    Operation(
        name="data_integrity_analysis",
        summary="The same company in several systems: matches by name, discrepancies, quality and what to do.",
        description=(
            "For each pair of systems a row of totals and then its matches. Names that are equal without case, punctuation "
            "and legal form match first; of the rest, each two that are one another's most similar, by their first hundred "
            "characters. `resolve_duplicates`: a system has the name more than once; `link`: equal and nothing differs; "
            "`link_and_correct`: equal, but attributes differ (industry, country, revenue by more than 5 percent, employees "
            "by more than 10); `review`: similar. `compared_by` in the totals: `trigrams`, and nothing similar is missed; "
            "`words`, where more than `exhaustive_up_to` names have no equal: then only names are similar that have all words "
            "but one in common, or all letters without blanks. `crowded_names`: how many of both systems were not compared "
            "with all of those, as they are too many."
        ),
        parameters=p.DataIntegrityAnalysis,
        sql="data_integrity_analysis",
        example={"min_similarity": 0.7, "systems": ["crm", "erp"]},
        long=True,
        must_exist="systems",
        known="systems",
        nested_loops=False,
    ),
    Operation(
        name="custom_complex_query",
        summary="Your own SELECT.",
        description=(
            "One SELECT of at most 10,000 bytes over the views of the schema analytics, with values for $1, $2, … in `params`. "
            "Only listed functions, operators and types; nothing that writes, locks or looks into the catalog. A row may have "
            "256 KB."
        ),
        parameters=p.CustomComplexQuery,
        sql="custom_complex_query",
        example={"query": "SELECT source, count(*) FROM entities WHERE revenue > $1 GROUP BY source", "params": [1000]},
    ),
)


def _has_list(annotation: Any) -> bool:
    """Tell whether a type is a list, or a union with one. A list with commas has its mark inside of a union."""
    parts = get_args(annotation)
    return get_origin(annotation) is list or (p.CommaSeparated not in parts and any(map(_has_list, parts)))


@cache
def operations() -> Mapping[str, Operation]:
    """Return all operations by name: those of the platform, and those of plug-ins."""
    return by_name("operations", [*((each, Path(__file__)) for each in BUILT_IN), *plugged("operations", Operation)])


def operation(name: str) -> Operation:
    """The operation of this name. Raises UnknownOperation."""
    try:
        return operations()[name]
    except (KeyError, TypeError):
        raise UnknownOperation(f"no such operation; there are {', '.join(operations())}") from None
