"""Datasets that only tests declare: one of each kind, and the entities with one attribute more."""

import dataclasses
from typing import ClassVar

from pipeline_project.datasets.entities import ENTITIES, Entity
from pipeline_project.schema.dataset import Dataset, Latest, Rest, Versioned
from pipeline_project.schema.fields import Amount, Count, Day, Id, Label, Share, Text, field, own_id, reference
from pipeline_project.schema.record import Record
from pipeline_project.schema.rules import not_before, required_unless_deleted


class EntityWithNickname(Entity):
    """An entity with one attribute more."""

    nickname: Label | None = field("Nickname", "nickname")


ENTITIES_WITH_NICKNAMES = dataclasses.replace(ENTITIES, record=EntityWithNickname)


class Contact(Record):
    """A person at a customer. The names are chosen to need quotes."""

    source_id: Id = own_id("The contact's ID in the source", "contact_id")
    customer: Id | None = reference(
        "The customer's ID in the source", "customer_id", to="entities", column="customer_canonical_id"
    )
    full_name: Text | None = field('The person\'s name, "as written" in a C:\\path', "full_name")
    since: Day = field("First day at the customer", "since", required=True)
    calls: Count | None = field("How often the person called", "calls")
    attributes: ClassVar = Rest("Everything else that was sent")


CONTACTS = Dataset(
    name="contacts",
    description="People at customers.",
    record=Contact,
    kind=Versioned(id="contact_id"),
    table="contacts",
    key=("canonical_id",),
    rules=(required_unless_deleted("full_name", "is required"),),
)


class Rating(Record):
    """What a customer thinks of a product, in a period."""

    source_id: Id = own_id("The customer's ID in the source", "customer_id")
    product: Label = field("What is rated", "product", required=True)
    first_day: Day = field("First day of the period", "first_day", required=True)
    last_day: Day | None = field("Last day of the period", "last_day")
    share: Share | None = field("The rating, from 0 to 1", "share")
    spent: Amount | None = field("What was spent in the period", "spent")
    attributes: ClassVar = Rest("Everything else that was sent")


RATINGS = Dataset(
    name="ratings",
    description="Ratings of products by customers.",
    record=Rating,
    kind=Latest(),
    table="ratings",
    key=("source", "canonical_id", "product", "first_day"),
    rules=(not_before("last_day", "first_day", "is before first_day"),),
)
