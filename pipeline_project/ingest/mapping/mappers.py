"""Finds the mapper of a source and a dataset."""

import pkgutil
from functools import lru_cache

from pipeline_project.datasets.registry import datasets
from pipeline_project.ingest.mapping.dataset_mapper import DatasetMapper
from pipeline_project.ingest.mapping.mapper import Mapper
from pipeline_project.ingest.mapping.patch_mapper import PatchMapper
from pipeline_project.ingest.mapping.versioned_mapper import VersionedMapper
from pipeline_project.schema.dataset import Dataset, Versioned
from pipeline_project.sources.dialect import Dialect
from pipeline_project.sources.source import Source


@lru_cache(maxsize=256)
def mapper_for(
    source: Source, dataset: str, mapping_version: int = 0, dialect: Dialect | None = None, *, cells: bool = False
) -> Mapper:
    """Return the mapper of a dataset's records, whose rows name this mapping version. The last two arguments: see Mapper.

    It is cached: reading the models takes longer than mapping a small file. The bound matters while two releases load in
    turn, since the version then rises with each change of turns.
    """
    declared = datasets()[dataset]
    made = PatchMapper if source.is_partial(dataset) else mapper_class(declared)
    return made(source, declared, mapping_version, dialect, cells=cells)


def mapper_class(dataset: Dataset) -> type[DatasetMapper]:
    """Return the class that the dataset names, or else the class of its kind. TypeError if it names something else."""
    usual = VersionedMapper if isinstance(dataset.kind, Versioned) else DatasetMapper
    if dataset.mapper is None:
        return usual
    found = pkgutil.resolve_name(dataset.mapper)
    if not (isinstance(found, type) and issubclass(found, usual)):
        raise TypeError(f"dataset {dataset.name!r}: {dataset.mapper} is no subclass of {usual.__name__}")
    return found
