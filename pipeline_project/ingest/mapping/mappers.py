"""Which mapper maps which dataset."""

from collections.abc import Mapping
from functools import lru_cache

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


@lru_cache(maxsize=256)
def mapper_for(source: Source, dataset: str, mapping_version: int = 0) -> Mapper:
    """Return the mapper of a dataset of a source, whose rows name this mapping version.

    It is kept, since to look through the models takes longer than to map a small object. The bound matters while two
    releases load in turn, for then the version rises with each change of turns.
    """
    return MAPPERS[dataset](source, mapping_version)
