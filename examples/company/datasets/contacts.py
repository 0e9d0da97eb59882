"""Contacts: people at a customer, with their history."""

from typing import ClassVar

from pipeline_project.schema.dataset import Dataset, Rest, Versioned
from pipeline_project.schema.fields import Id, Label, Text, field, own_id, reference
from pipeline_project.schema.record import Record
from pipeline_project.schema.rules import required_unless_deleted


class Contact(Record):
    """A person at a customer. A tombstone needs only its ID."""

    source_id: Id = own_id("ID in the source", "contact_id", "id")
    customer_id: Id | None = reference(
        "The customer that the person works for", "customer_id", to="entities", column="customer_canonical_id"
    )
    name: Text | None = field("Name; only a tombstone has none", "name")
    email: Label | None = field("Address for e-mail", "email")
    job_title: Label | None = field("Job title in the source's own words", "job_title")
    attributes: ClassVar = Rest("Everything else that was sent")


CONTACTS = Dataset(
    name="contacts",
    description="People at customers, with their history.",
    record=Contact,
    kind=Versioned(id="contact_id"),
    table="contacts",
    key=("canonical_id",),
    rules=(required_unless_deleted("name", "is required: a contact has a name"),),
)
