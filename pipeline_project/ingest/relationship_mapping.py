"""Relationships: a record becomes an edge between two entities."""

from collections.abc import Collection
from typing import Any

from pipeline_project.ingest.mapping import FieldError, Mapper, copy_text, encode, escape
from pipeline_project.sources.records import Record, RelationshipRecord


class RelationshipMapper(Mapper):
    """Relationships. An end that is not there yet is no error: the relationship counts once both ends are."""

    dataset = "relationships"
    key_columns = ("parent_canonical_id", "child_canonical_id", "relationship_type", "valid_from")
    content_columns = ("valid_to", "deleted", "attributes")

    def id_spellings(self) -> Collection[str]:
        return ("parent_canonical_id", "parent_id")

    def _others(self, fields: dict[str, Any], record: Record) -> dict[str, Any]:
        unused = {
            f"{end}_id": source_id
            for end in ("parent", "child")
            if getattr(record, f"{end}_canonical_id") and (source_id := getattr(record, f"{end}_id"))
        }
        return {**super()._others(fields, record), **unused}

    def _ends(self, record: RelationshipRecord) -> tuple[str | None, str | None]:
        parent = record.parent_canonical_id or (self._canonical(record.parent_id) if record.parent_id else None)
        child = record.child_canonical_id or (self._canonical(record.child_id) if record.child_id else None)
        return parent, child

    def _key(self, record: RelationshipRecord) -> str:
        return self._key_line(record)

    def _key_line(self, record: RelationshipRecord) -> str:
        return "\t".join(map(copy_text, (*self._ends(record), record.relationship_type, record.valid_from)))

    def _check(self, record: RelationshipRecord) -> list[FieldError]:
        errors = [
            FieldError(f"{end}_id", "missing", f"is required: {end}_id (of this source) or {end}_canonical_id")
            for end, value in zip(("parent", "child"), self._ends(record), strict=True)
            if value is None
        ]
        parent, child = self._ends(record)
        if parent is not None and parent == child:
            errors.append(FieldError("child_id", "self_reference", "is the parent itself"))
        if record.valid_to is not None and record.valid_to < record.valid_from:
            errors.append(FieldError("valid_to", "before_start", "lies before valid_from"))
        return errors

    def _content(self, record: RelationshipRecord, others: dict[str, Any]) -> str:
        deleted = "t" if record.deleted else "f"
        return "\t".join((copy_text(record.valid_to), deleted, escape(encode(others).decode())))
