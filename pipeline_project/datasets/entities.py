"""Entities: customers, suppliers, accounts and companies, with their history."""

from typing import ClassVar

from pipeline_project.schema.dataset import Dataset, Rest, Versioned
from pipeline_project.schema.fields import Amount, Count, Id, Label, Money, Text, field, own_id
from pipeline_project.schema.record import Record, tombstone
from pipeline_project.schema.rules import required_unless_deleted


class Entity(Record):
    """A customer, supplier, account or company. A tombstone needs only its ID."""

    source_id: Id = own_id("ID in the source", "id")
    entity_type: Label | None = field(
        "What it is: customer, supplier, account, company", "entity_type", "type", not_null=True
    )
    deleted: bool = tombstone()
    name: Text | None = field("Name; only a tombstone has none", "name")
    status: Label | None = field("Status in the source's own words; `deleted` marks a tombstone", "status")
    industry: Label | None = field("Industry in the source's own words", "industry")
    region: Label | None = field("Sales region", "region")
    country: Label | None = field("Country as the source writes it", "country")
    customer_tier: Label | None = field("Tier that the source gave the customer", "customer_tier", "tier")
    revenue: Amount | None = field("Annual revenue", "revenue")
    employees: Count | None = field("Number of employees", "employees")
    lifetime_value: Money | None = field("Value of the customer over all years", "lifetime_value")
    total_spent: Money | None = field("Sum that the customer has spent", "total_spent")
    total_orders: Count | None = field("Number of orders", "total_orders")
    attributes: ClassVar = Rest("Everything else that was sent")


ENTITIES = Dataset(
    name="entities",
    description="Customers, suppliers, accounts and companies.",
    record=Entity,
    kind=Versioned(id="entity_id"),
    table="entities",
    key=("canonical_id",),
    rules=(required_unless_deleted("name", "is required: an entity has a name"),),
    deleted_if=("status", "deleted"),
)
