"""Which mapper maps which dataset."""

from collections.abc import Mapping

from pipeline_project.ingest.entity_mapping import EntityMapper
from pipeline_project.ingest.mapping import Mapper
from pipeline_project.ingest.metric_mapping import MetricMapper
from pipeline_project.ingest.relationship_mapping import RelationshipMapper
from pipeline_project.sources.records import Dataset

MAPPERS: Mapping[Dataset, type[Mapper]] = {
    "entities": EntityMapper,
    "relationships": RelationshipMapper,
    "metrics": MetricMapper,
}
