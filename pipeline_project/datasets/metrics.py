"""Metrics: the value of one type, for one entity, on one day."""

from pipeline_project.schema.dataset import Dataset, Latest
from pipeline_project.schema.fields import Id, Label, MetricDay, Money, Share, Structure, field, own_id
from pipeline_project.schema.record import Record, tombstone
from pipeline_project.schema.rules import required_unless_deleted


class Metric(Record):
    """A value of one type, for one entity of the same source, on one day."""

    source_id: Id = own_id("The entity's ID in the source", "entity_id", "customer_id", "id")
    metric_type: Label = field("What is measured", "metric_type", "type", "metric", required=True)
    metric_date: MetricDay = field("The day of the measurement", "metric_date", "date", required=True)
    value: Money | None = field("The measured value; only a tombstone has none", "value")
    quality: Share | None = field("Trust in the value, from 0 to 1", "quality", "quality_score")
    tags: Structure | None = field("Tags, and everything else that was sent", "tags", not_null=True)
    deleted: bool = tombstone()


METRICS = Dataset(
    name="metrics",
    description="Values of metrics by entity and day.",
    record=Metric,
    kind=Latest(timestamps=False),
    table="time_series_data",
    key=("canonical_id", "metric_type", "metric_date"),
    partition_by="metric_date",
    rules=(required_unless_deleted("value", "is required: a metric has a value"),),
    mapper="pipeline_project.ingest.mapping.metric_mapper:MetricMapper",
)
