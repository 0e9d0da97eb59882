"""Relationships: a record becomes an edge between two entities."""

from collections.abc import Collection
from typing import Any, ClassVar

from pipeline_project.datasets.relationships import BEGINNING, Relationship
from pipeline_project.ingest.mapping.copy_text import copy_text, encode, escape, json_texts
from pipeline_project.ingest.mapping.fast_path import FastColumns
from pipeline_project.ingest.mapping.mapper import Mapper, Texts, where
from pipeline_project.ingest.mapping.rows import FieldError
from pipeline_project.ingest.mapping.struct_columns import Column
from pipeline_project.schema.record import Record


class RelationshipMapper(Mapper):
    """Relationships. An end that is not there yet is no error: the relationship counts once both ends are."""

    dataset = "relationships"
    key_columns = ("parent_canonical_id", "child_canonical_id", "relationship_type", "valid_from")
    content_columns = ("valid_to", "deleted", "attributes")
    defaults: ClassVar = {"valid_from": BEGINNING}
    fields = (
        *("parent_canonical_id", "parent_id", "child_canonical_id", "child_id"),
        *("relationship_type", "valid_from", "valid_to", "deleted"),
    )

    def id_aliases(self) -> Collection[str]:
        return ("parent_canonical_id", "parent_id")

    def _others(self, fields: dict[str, Any], record: Record) -> dict[str, Any]:
        unused = {
            f"{end}_id": source_id
            for end in ("parent", "child")
            if getattr(record, f"{end}_canonical_id") and (source_id := getattr(record, f"{end}_id"))
        }
        return {**super()._others(fields, record), **unused}

    def _ends(self, record: Relationship) -> tuple[str | None, str | None]:
        parent = record.parent_canonical_id or (self._canonical(record.parent_id) if record.parent_id else None)
        child = record.child_canonical_id or (self._canonical(record.child_id) if record.child_id else None)
        return parent, child

    def _key(self, record: Relationship) -> str:
        return self._key_line(record)

    def _key_line(self, record: Relationship) -> str:
        return "\t".join(map(copy_text, (*self._ends(record), record.relationship_type, record.valid_from)))

    def _check(self, record: Relationship) -> list[FieldError]:
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

    def _content(self, record: Relationship, others: dict[str, Any]) -> str:
        deleted = "t" if record.deleted else "f"
        return "\t".join((copy_text(record.valid_to), deleted, escape(encode(others).decode())))

    def _texts(self, found: FastColumns) -> Texts:
        _, parents, parent_ids, children, child_ids, types, begins, ends, flags = found.columns
        begins = [begin or BEGINNING.isoformat() for begin in begins]
        attributes, left_out = json_texts(found.attributes)
        # Of an end that is told in both ways, the id is kept as an attribute.
        left_out += where(any(parents), map(all, zip(parents, parent_ids, strict=True)))
        left_out += where(any(children), map(all, zip(children, child_ids, strict=True)))
        parents, children = self._whole(parents, parent_ids), self._whole(children, child_ids)
        left_out += where(
            True,
            (
                not (parent and child and kind) or parent == child or (end and end < begin)
                for parent, child, kind, begin, end in zip(parents, children, types, begins, ends, strict=True)
            ),
        )
        deleted = ["t" if flag else "f" for flag in flags]
        return Texts(
            list(map("\t".join, zip(parents, children, types, begins, strict=True))),
            list(map("\t".join, zip(ends, deleted, attributes, strict=True))),
            left_out,
        )

    def _whole(self, canonical_ids: Column, source_ids: Column) -> list[str]:
        prefix = f"{self.source.name}_"
        return [whole or (prefix + own if own else "") for whole, own in zip(canonical_ids, source_ids, strict=True)]
