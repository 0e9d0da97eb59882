"""The typed parameters of the operations. Every metric and every dimension is an enumeration, so that what reaches the
SQL is one of the words listed here and never an identifier of the caller's.

A number may come as text (`top_n=10` of a query string), a list as text with commas. A boolean is not a number.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Parameters(BaseModel):
    """Base of all: nothing unknown gets through."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _not_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number, not a boolean")
    return value


def _split(value: Any) -> Any:
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


Integer = Annotated[int, BeforeValidator(_not_boolean)]
Share = Annotated[float, BeforeValidator(_not_boolean)]
CommaSeparated = BeforeValidator(_split)


class MoneyMetric(StrEnum):
    REVENUE = "revenue"
    LIFETIME_VALUE = "lifetime_value"
    TOTAL_SPENT = "total_spent"


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
