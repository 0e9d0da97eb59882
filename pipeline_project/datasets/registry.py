"""The registry of datasets."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from pipeline_project.datasets.entities import ENTITIES
from pipeline_project.datasets.metrics import METRICS
from pipeline_project.datasets.relationships import RELATIONSHIPS
from pipeline_project.schema.dataset import Dataset, Versioned

BUILT_IN = (ENTITIES, RELATIONSHIPS, METRICS)


@cache
def datasets() -> Mapping[str, Dataset]:
    """Return all datasets by name, those of the platform first."""
    return MappingProxyType({each.name: each for each in BUILT_IN})


def versioned() -> list[Dataset]:
    """Return the datasets that keep their history."""
    return [each for each in datasets().values() if isinstance(each.kind, Versioned)]


def dataset_of_model(model: type) -> Dataset:
    """Return the dataset whose record model is a base of this model. TypeError if there is none."""
    for dataset in datasets().values():
        if issubclass(model, dataset.record):
            return dataset
    raise TypeError(f"{model.__name__} is no record of a dataset. Subclass the record model of one.")
