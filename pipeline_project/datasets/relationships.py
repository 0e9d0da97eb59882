"""Relationships: typed edges between two entities, with their validity."""

from datetime import date
from typing import ClassVar

from pipeline_project.schema.dataset import Dataset, Latest, Rest
from pipeline_project.schema.fields import Day, Id, Label, field
from pipeline_project.schema.record import Record, tombstone
from pipeline_project.schema.rules import not_before

BEGINNING = date(1900, 1, 1)
"""First day of a relationship that does not say when it began."""


class Relationship(Record):
    """An edge from parent to child. An end is a canonical ID, or an ID of the same source (`parent_id`, `child_id`)."""

    parent_canonical_id: Id | None = field("Canonical ID of the parent", "parent_canonical_id", not_null=True)
    child_canonical_id: Id | None = field("Canonical ID of the child", "child_canonical_id", not_null=True)
    parent_id: Id | None = field("The parent's ID in the same source", "parent_id", part=True)
    child_id: Id | None = field("The child's ID in the same source", "child_id", part=True)
    relationship_type: Label = field("What the parent is to the child", "relationship_type", "type", required=True)
    valid_from: Day = field("First day of the relationship", default=BEGINNING, not_null=True)
    valid_to: Day | None = field("Last day of the relationship; null while it lasts", "valid_to")
    deleted: bool = tombstone()
    attributes: ClassVar = Rest("Everything else that was sent")


RELATIONSHIPS = Dataset(
    name="relationships",
    description="Typed edges between entities, with their validity.",
    record=Relationship,
    kind=Latest(),
    table="entity_relationships",
    key=("source", "parent_canonical_id", "child_canonical_id", "relationship_type", "valid_from"),
    rules=(not_before("valid_to", "valid_from", "lies before valid_from"),),
    mapper="pipeline_project.ingest.mapping.relationship_mapper:RelationshipMapper",
)
