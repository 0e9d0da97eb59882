"""The web shop: customers with nested figures, their contacts and their invoices."""

from company.datasets.contacts import Contact
from company.datasets.invoices import Invoice

from pipeline_project.datasets.entities import Entity
from pipeline_project.schema.fields import Amount, Day, Id, Label, Money, Text, aliased
from pipeline_project.sources.source import Source


class ShopCustomer(Entity):
    """A customer of the shop. Name and country are in a nested object."""

    source_id: Id = aliased("customerNumber", "id", required=True)
    name: Text | None = aliased("company.legalName", "name")
    country: Label | None = aliased("company.country", "country")
    revenue: Amount | None = aliased("figures.annualRevenue", "revenue")


class ShopContact(Contact):
    """A person at a customer of the shop."""

    source_id: Id = aliased("contactNumber", "id", required=True)
    customer_id: Id | None = aliased("customerNumber")
    name: Text | None = aliased("person.fullName", "name")
    email: Label | None = aliased("person.email", "email")
    job_title: Label | None = aliased("person.role", "job_title")


class ShopInvoice(Invoice):
    """An invoice of the shop. Its sums are in a nested object."""

    source_id: Id = aliased("invoiceNumber", "id", required=True)
    customer_id: Id | None = aliased("customerNumber")
    issue_date: Day | None = aliased("issuedOn", "issue_date")
    due_date: Day | None = aliased("dueOn", "due_date")
    amount: Money | None = aliased("sums.gross", "amount")
    currency: Label | None = aliased("sums.currency", "currency")


SOURCE = Source(
    name="shop",
    description="Customers, contacts and invoices of the web shop",
    records=(ShopCustomer, ShopContact, ShopInvoice),
    fallbacks={"entity_type": "customer"},
)
