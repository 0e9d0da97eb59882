"""The hooks of metrics: everything else that was sent joins the tags."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from pipeline_project.datasets.metrics import Metric
from pipeline_project.ingest.mapping.dataset_mapper import DatasetMapper
from pipeline_project.ingest.mapping.struct_columns import Column


class MetricMapper(DatasetMapper):
    """Maps metrics. Their column `tags` holds the tags, and everything else that was sent."""

    rest_column: ClassVar[str | None] = "tags"

    def _everything_else(self, record: Metric, others: dict[str, Any]) -> Any:
        return _with_others(record.tags, others)

    def _rests(self, sent: Mapping[str, Column], others: list[Any]) -> list[Any]:
        fields = msgspec.to_builtins(others, builtin_types=(Decimal,))
        return list(map(_with_others, sent["tags"], fields))


def _with_others(tags: Any, others: dict[str, Any]) -> Any:
    """Join the tags, if there are any, and what else was sent."""
    if tags is None or tags == "":
        return others
    if not others:
        return tags
    return {**others, **tags} if isinstance(tags, dict) else {**others, "tags": tags}
