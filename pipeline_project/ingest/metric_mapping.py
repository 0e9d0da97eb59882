"""Metrics: a record becomes a value of a type, of an entity, on a day."""

from typing import Any

from pipeline_project.ingest.mapping import NUMBER_TOO_LARGE, FieldError, Mapper, copy_text, encode, escape, unstorable
from pipeline_project.sources.records import MetricRecord

QUALITY_DECIMALS = 6
"""As many as PostgreSQL's real tells apart; of smaller numbers it refuses some."""


class MetricMapper(Mapper):
    """Metrics: a value of a type, of an entity, on a day. What else was sent joins the tags."""

    dataset = "metrics"
    key_columns = ("canonical_id", "metric_type", "metric_date")
    content_columns = ("value", "quality", "tags", "deleted")

    def _key(self, record: MetricRecord) -> str:
        return self._key_line(record)

    def _key_line(self, record: MetricRecord) -> str:
        return "\t".join(map(copy_text, (self._canonical(record.source_id), record.metric_type, record.metric_date)))

    def _check(self, record: MetricRecord) -> list[FieldError]:
        errors: list[FieldError] = []
        if record.value is None and not record.deleted:
            errors.append(FieldError("value", "missing", "is required: a metric has a value"))
        if unstorable(record.tags):
            errors.append(FieldError("tags", *NUMBER_TOO_LARGE))
        return errors

    def _content(self, record: MetricRecord, others: dict[str, Any]) -> str:
        tags = record.tags if record.tags is not None else {}
        if others:
            tags = {**others, **tags} if isinstance(tags, dict) else {**others, "tags": tags}
        deleted = "t" if record.deleted else "f"
        quality = copy_text(None if record.quality is None else round(record.quality, QUALITY_DECIMALS))
        return "\t".join((copy_text(record.value), quality, escape(encode(tags).decode()), deleted))
