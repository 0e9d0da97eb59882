"""Metrics: a record becomes a value of a type, of an entity, on a day."""

from decimal import Decimal
from typing import Any

import msgspec

from pipeline_project.datasets.metrics import Metric
from pipeline_project.ingest.mapping.copy_text import copy_text, encode, escape, json_texts, share_text
from pipeline_project.ingest.mapping.fast_path import FastColumns
from pipeline_project.ingest.mapping.mapper import Mapper, Texts, where
from pipeline_project.ingest.mapping.rows import FieldError


class MetricMapper(Mapper):
    """Metrics: a value of a type, of an entity, on a day. What else was sent joins the tags."""

    dataset = "metrics"
    key_columns = ("canonical_id", "metric_type", "metric_date")
    content_columns = ("value", "quality", "tags", "deleted")
    fields = ("source_id", "metric_type", "metric_date", "value", "quality", "tags", "deleted")

    def _key(self, record: Metric) -> str:
        return self._key_line(record)

    def _key_line(self, record: Metric) -> str:
        return "\t".join(map(copy_text, (self._canonical(record.source_id), record.metric_type, record.metric_date)))

    def _check(self, record: Metric) -> list[FieldError]:
        errors: list[FieldError] = []
        if record.value is None and not record.deleted:
            errors.append(FieldError("value", "missing", "is required: a metric has a value"))
        return errors

    def _content(self, record: Metric, others: dict[str, Any]) -> str:
        tags = escape(encode(_with_others(record.tags, others)).decode())
        quality = "" if record.quality is None else share_text(record.quality)
        return "\t".join((copy_text(record.value), quality, tags, "t" if record.deleted else "f"))

    def _texts(self, found: FastColumns) -> Texts:
        _, source_ids, types, days, values, qualities, tags, flags = found.columns
        others = msgspec.to_builtins(found.attributes, builtin_types=(Decimal,))
        tag_texts, left_out = json_texts(list(map(_with_others, tags, others)))
        left_out += [
            place
            for required in (source_ids, types, days)
            for place in where("" in required, (not text for text in required))
        ]
        left_out += where("" in values, (not value and not flag for value, flag in zip(values, flags, strict=True)))
        deleted = ["t" if flag else "f" for flag in flags]
        ids = map(f"{self.source.name}_".__add__, source_ids)
        return Texts(
            list(map("\t".join, zip(ids, types, days, strict=True))),
            list(map("\t".join, zip(values, qualities, tag_texts, deleted, strict=True))),
            left_out,
        )


def _with_others(tags: Any, others: dict[str, Any]) -> Any:
    """The tags, if there are any, and what was sent besides."""
    if tags is None or tags == "":
        return others
    if not others:
        return tags
    return {**others, **tags} if isinstance(tags, dict) else {**others, "tags": tags}
