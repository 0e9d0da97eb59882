"""The operation `invoice_totals`: invoiced amounts of each customer, by month."""

from datetime import date
from pathlib import Path

from pydantic import Field

from pipeline_project.analytics.catalogue import Operation
from pipeline_project.analytics.parameters import Integer, Parameters


class InvoiceTotalsParameters(Parameters):
    """Which invoices count, and how many rows there are."""

    since: date = Field(default=date(1900, 1, 1), description="First day of issue")
    top_n: Integer = Field(default=100, ge=1, le=10_000, description="Most rows")


OPERATION = Operation(
    name="invoice_totals",
    summary="Invoiced amounts of each customer, by month and currency.",
    description=(
        "One row for each customer, month and currency, with the greatest amount first. An invoice without a day of issue is "
        "left out. `customer` is null if the customer was not sent."
    ),
    parameters=InvoiceTotalsParameters,
    sql=Path(__file__).with_suffix(".sql"),
    example={"since": "2026-01-01", "top_n": 10},
)
