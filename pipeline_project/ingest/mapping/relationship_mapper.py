"""The hooks of relationships: each end of an edge is named in one of two ways."""

from collections.abc import Collection
from operator import eq
from typing import Any, ClassVar

from pipeline_project.ingest.mapping.dataset_mapper import DatasetMapper
from pipeline_project.ingest.mapping.mapper import where
from pipeline_project.ingest.mapping.rows import FieldError
from pipeline_project.ingest.mapping.struct_columns import Column
from pipeline_project.schema.record import Record

ENDS = ("parent", "child")


class RelationshipMapper(DatasetMapper):
    """Maps relationships.

    An end that is not stored yet is no error: the relationship counts once both ends are there. If a record has both
    `parent_id` and `parent_canonical_id`, the canonical ID wins. The other value goes to `attributes`.
    """

    composed: ClassVar[Collection[str]] = ("parent_canonical_id", "child_canonical_id")

    def _id_fields(self) -> Collection[str]:
        return ("parent_canonical_id", "parent_id")

    def _complete(self, record: Record) -> None:
        super()._complete(record)
        values = vars(record)
        for end in ENDS:
            if values[f"{end}_canonical_id"] is None and (own := values[f"{end}_id"]) is not None:
                values[f"{end}_canonical_id"] = self._prefix + own
                values[f"{end}_id"] = None

    def _others(self, fields: dict[str, Any], record: Record) -> dict[str, Any]:
        values = record.__dict__
        unused = {name: value for end in ENDS if (value := values[name := f"{end}_id"]) is not None}
        return {**super()._others(fields, record), **unused}

    def _check(self, record: Record) -> list[FieldError]:
        values = record.__dict__
        parent, child = values["parent_canonical_id"], values["child_canonical_id"]
        errors = [
            FieldError(f"{end}_id", "missing", f"is required: {end}_id (of this source) or {end}_canonical_id")
            for end, value in zip(ENDS, (parent, child), strict=True)
            if value is None
        ]
        if parent is not None and parent == child:
            errors.append(FieldError("child_id", "self_reference", "is the parent itself"))
        return [*errors, *super()._check(record)]

    def _complete_columns(self, sent: dict[str, Column]) -> list[int]:
        prefix = self._prefix
        left_out: list[int] = []
        for end in ENDS:
            whole, own = sent[f"{end}_canonical_id"], sent[f"{end}_id"]
            # The model keeps the second value as an attribute.
            left_out += where(any(whole), map(all, zip(whole, own, strict=True)))
            sent[f"{end}_canonical_id"] = [
                whole or (prefix + own if own else "") for whole, own in zip(whole, own, strict=True)
            ]
        return left_out + where(True, map(eq, sent["parent_canonical_id"], sent["child_canonical_id"]))
