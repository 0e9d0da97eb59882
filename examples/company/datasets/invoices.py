"""Invoices: what a customer has to pay, in the latest state."""

from typing import ClassVar

from pipeline_project.schema.dataset import Dataset, Latest, Rest
from pipeline_project.schema.fields import Day, Id, Label, Money, field, own_id, reference
from pipeline_project.schema.record import Record
from pipeline_project.schema.rules import not_before, required_unless_deleted


class Invoice(Record):
    """An invoice that was sent to a customer."""

    source_id: Id = own_id("ID in the source", "invoice_id", "id")
    customer_id: Id | None = reference(
        "The customer that has to pay it", "customer_id", to="entities", column="customer_canonical_id"
    )
    issue_date: Day | None = field("The day on which it was issued", "issue_date", "date")
    due_date: Day | None = field("The day on which it has to be paid", "due_date")
    amount: Money | None = field("The amount, in `currency`", "amount", "total")
    currency: Label | None = field("ISO 4217 code of the currency", "currency")
    attributes: ClassVar = Rest("Everything else that was sent")


INVOICES = Dataset(
    name="invoices",
    description="Invoices to customers, in their latest state.",
    record=Invoice,
    kind=Latest(),
    table="invoices",
    key=("canonical_id",),
    rules=(
        required_unless_deleted("amount", "is required: an invoice has an amount"),
        not_before("due_date", "issue_date", "lies before issue_date"),
    ),
)
