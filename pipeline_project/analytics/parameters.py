"""The typed parameters of the operations. Every metric and every dimension is an enumeration, so that what reaches the
SQL is one of the words listed here and never an identifier of the caller's.

A number may come as text (`top_n=10` of a query string), a list as text with commas. A boolean is not a number.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from pipeline_project import exact_json


class Parameters(BaseModel):
    """Base of all: nothing unknown gets through."""

    # Built when first used: nine in ten requests need one model at most, and a cold start pays for each.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    def as_json(self) -> dict[str, Any]:
        """Give the values as JSON has them. They validate to the same parameters again."""
        return exact_json.plain(self.model_dump())

    @property
    def lasting(self) -> bool:
        """Return whether what they ask for stays the same as long as nothing is loaded."""
        return True


def _not_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number, not a boolean")
    return value


def _split(value: Any) -> Any:
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


Integer = Annotated[int, BeforeValidator(_not_boolean)]
Number = Annotated[Decimal, WithJsonSchema({"type": "number"})]
"""A decimal keeps the digits that were sent. A float would round to 17 of them."""
Share = Annotated[float, BeforeValidator(_not_boolean)]
CommaSeparated = BeforeValidator(_split)
REFUSED = "refused"
"""Rule of the error that a refused query is."""
NO_NUL = r"^[^\x00]*$"


class MoneyMetric(StrEnum):
    REVENUE = "revenue"
    LIFETIME_VALUE = "lifetime_value"
    TOTAL_SPENT = "total_spent"


class CustomerMetric(StrEnum):
    REVENUE = "revenue"
    LIFETIME_VALUE = "lifetime_value"
    TOTAL_SPENT = "total_spent"
    TOTAL_ORDERS = "total_orders"
    EMPLOYEES = "employees"


class CountMetric(StrEnum):
    ENTITIES = "entities"
    RELATIONSHIPS = "relationships"
    TIME_SERIES_POINTS = "time_series_points"
    VERSIONS = "versions"


class Timeframe(StrEnum):
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class AnalysisPeriod(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class RollupDimension(StrEnum):
    TYPE = "type"
    INDUSTRY = "industry"
    REGION = "region"


class Subtotals(StrEnum):
    ROLLUP = "rollup"
    CUBE = "cube"


class Direction(StrEnum):
    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"
    BOTH = "both"


class Dimension(StrEnum):
    INDUSTRY = "industry"
    REGION = "region"
    COUNTRY = "country"
    CUSTOMER_TIER = "customer_tier"
    STATUS = "status"
    SOURCE = "source"
    ENTITY_TYPE = "entity_type"


class NoParameters(Parameters):
    """For operations that take none."""


class RevenueAnalysis(Parameters):
    metric: MoneyMetric = Field(MoneyMetric.REVENUE, description="The amount to rank by.")
    group_by: Dimension = Field(Dimension.INDUSTRY, description="The dimension whose values are the segments.")
    top_n: Integer = Field(10, ge=1, le=100, description="How many entities to list of each segment.")


class CustomerAnalysis(Parameters):
    metric: CustomerMetric = Field(
        CustomerMetric.REVENUE, description="The amount to add up, average and take the median of."
    )
    group_by: Dimension = Field(Dimension.CUSTOMER_TIER, description="The dimension whose values are the segments.")
    min_customers: Integer = Field(1, ge=1, le=1_000_000_000, description="Smaller segments are left out.")


class CountAnalysis(Parameters):
    metric: CountMetric = Field(CountMetric.ENTITIES, description="What is counted.")
    group_by: Dimension = Field(Dimension.SOURCE, description="The dimension of the entities that it is counted by.")


def _distinct(values: list[Any]) -> list[Any]:
    if len(set(values)) != len(values):
        raise ValueError("each value at most once")
    return values


class MultiDimensionalAnalytics(Parameters):
    timeframe: Timeframe = Field(
        Timeframe.QUARTER, description="Length of a period, by when an entity last changed (UTC)."
    )
    dimensions: Annotated[list[RollupDimension], CommaSeparated, AfterValidator(_distinct)] = Field(
        [RollupDimension.TYPE, RollupDimension.INDUSTRY, RollupDimension.REGION],
        min_length=1,
        max_length=3,
        description="What the periods are broken down by, from the first to the last.",
        json_schema_extra={"uniqueItems": True},
    )
    subtotals: Subtotals = Field(
        Subtotals.ROLLUP,
        description="`rollup`: of the periods, then of each dimension within the one before; `cube`: of every combination.",
    )


def _today() -> date:
    return datetime.now(UTC).date()


def _written(value: Any) -> Any:
    """A day is written out; pydantic would take a number for seconds since 1970."""
    if isinstance(value, str | date):
        return value
    raise PydanticCustomError("date_type", "Input should be a day, as YYYY-MM-DD")


class RelationshipNetwork(Parameters):
    root: Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=NO_NUL)] = Field(
        description="The canonical id to start from."
    )
    depth: Integer = Field(3, ge=1, le=10, description="How many relationships to follow.")
    direction: Direction = Field(
        Direction.DOWNSTREAM, description="From parent to child, from child to parent, or both."
    )
    as_of: Annotated[date, BeforeValidator(_written)] = Field(
        default_factory=_today, description="Relationships valid on this day count; today if not given."
    )
    roll_up_to: Integer = Field(
        300_000,
        ge=0,
        le=1_000_000,
        description=(
            "As many steps may be needed to find what lies below each entity: pairs of an entity and one below it, times "
            "the relationships that an entity has on average. Where more are, only the root is rolled up."
        ),
    )


class TimeSeriesPatterns(Parameters):
    analysis_period: AnalysisPeriod = Field(AnalysisPeriod.MONTH, description="Length of a period.")
    metric: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)] = Field(
        "revenue",
        description="A metric type, as the sources name it; one that nobody sent is refused with those there are.",
    )


class DataIntegrityAnalysis(Parameters):
    min_similarity: Share = Field(
        0.7,
        ge=0.6,
        le=1,
        allow_inf_nan=False,
        description="How much of two names' trigrams must be shared; 1 is the same trigrams.",
    )
    systems: (
        Annotated[
            list[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]],
            CommaSeparated,
            AfterValidator(_distinct),
        ]
        | None
    ) = Field(
        None,
        min_length=2,
        max_length=10,
        description=(
            "The source systems to compare, pair by pair; all if not given. Unknown ones are refused with those there are."
        ),
        json_schema_extra={"uniqueItems": True},
    )
    exhaustive_up_to: Integer = Field(
        75_000,
        ge=0,
        le=1_000_000,
        description="As many names without an equal are compared with all; of more, only those that share all words but one.",
    )


class CustomComplexQuery(Parameters):
    # Before `query`, whose validation counts them.
    params: list[str | int | Number | bool | None] = Field(
        [], max_length=100, description="Values for $1, $2, … in order."
    )
    query: str = Field(min_length=1, description="One SELECT over the tables that database_info lists.")

    @field_validator("query")
    @classmethod
    def _judged(cls, query: str, info: ValidationInfo) -> str:
        # Late, since the parser is a large library and this the one operation that needs it.
        from pipeline_project.analytics.failures import QueryRefused  # noqa: PLC0415
        from pipeline_project.analytics.guard import check  # noqa: PLC0415

        try:
            check(query, info.data.get("params", ()))
        except QueryRefused as error:
            raise PydanticCustomError(REFUSED, "{reason}", {"reason": str(error)}) from None
        return query

    @property
    def lasting(self) -> bool:
        from pipeline_project.analytics.guard import check  # noqa: PLC0415

        return check(self.query, self.params).lasting
