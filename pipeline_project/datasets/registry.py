"""The registry of datasets."""

import inspect
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pipeline_project.datasets.entities import ENTITIES
from pipeline_project.datasets.metrics import METRICS
from pipeline_project.datasets.relationships import RELATIONSHIPS
from pipeline_project.plugins import PluginError, by_name, place, plugged
from pipeline_project.schema.dataset import Dataset, Versioned

BUILT_IN = (
    ENTITIES,
    RELATIONSHIPS,
    METRICS,
)


@cache
def datasets() -> Mapping[str, Dataset]:
    """Return all datasets by name, those of the platform first and then those of plug-ins."""
    built_in = [(each, Path(inspect.getfile(each.record))) for each in BUILT_IN]
    declared = [*built_in, *plugged("datasets", Dataset)]
    tables: dict[str, tuple[Dataset, Path]] = {}
    for each, file in declared:
        other, first = tables.setdefault(each.table, (each, file))
        if other.name != each.name:
            raise PluginError(
                f"{place(file, each.name)}: the dataset {each.name!r} has the table {each.table!r}, which is that of "
                f"{other.name!r} in {place(first, other.name)}. Give each dataset a table of its own."
            )
    return by_name("datasets", declared)


def versioned() -> list[Dataset]:
    """Return the datasets that keep their history."""
    return [each for each in datasets().values() if isinstance(each.kind, Versioned)]


def dataset_of_model(model: type) -> Dataset:
    """Return the dataset whose record model is the nearest base of this model. TypeError if there is none."""
    by_record = {each.record: each for each in datasets().values()}
    for base in model.__mro__:
        if base in by_record:
            return by_record[base]
    raise TypeError(f"{model.__name__} is no record of a dataset. Subclass the record model of one.")
