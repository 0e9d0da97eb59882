"""Which mapper maps which dataset."""

from collections.abc import Mapping
from functools import cache

from pipeline_project.ingest.mapping.mapper import Mapper
from pipeline_project.ingest.mapping.metric_mapper import MetricMapper
from pipeline_project.ingest.mapping.relationship_mapper import RelationshipMapper
from pipeline_project.ingest.mapping.versioned_mapper import EntityMapper
from pipeline_project.sources.source import Source

MAPPERS: Mapping[str, type[Mapper]] = {
    "entities": EntityMapper,
    "relationships": RelationshipMapper,
    "metrics": MetricMapper,
}


@cache
def mapper_for(source: Source, dataset: str) -> Mapper:
    """Made once: looking through the models takes longer than mapping a small object."""
    return MAPPERS[dataset](source)
