"""The source systems there are, and which of them an object's key belongs to."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import pipeline_project.sources
from pipeline_project.datasets.registry import datasets
from pipeline_project.plugins import by_name, plugged, toml_files
from pipeline_project.sources.source import Source
from pipeline_project.sources.toml_files import read_source


@cache
def sources() -> Mapping[str, Source]:
    """Return all sources by name: the `SOURCE` of each module in this package, and those of plug-ins.

    A TOML file in the folder `sources/` of the plug-ins is registered like a module.
    """
    modules = (
        importlib.import_module(f"{pipeline_project.sources.__name__}.{module.name}")
        for module in pkgutil.iter_modules(pipeline_project.sources.__path__)
    )
    built_in = [(module.SOURCE, Path(str(module.__file__))) for module in modules if hasattr(module, "SOURCE")]
    declared = [(read_source(path), path) for path in toml_files("sources")]
    found = by_name("sources", [*built_in, *plugged("sources", Source), *declared])
    return MappingProxyType(dict(sorted(found.items())))


def route(key: str) -> tuple[Source, str] | None:
    """The source and dataset of an object: first folder of its key, and the next where it names a dataset.

    None: no source is registered for the first folder. The source names all other folders as it likes. Letters count the
    same in either case, because many systems change the case of folders.
    """
    folder, *rest = key.split("/")
    for source in sources().values():
        if folder.lower() == source.prefix and rest:
            for dataset in datasets():
                if len(rest) > 1 and rest[0].lower() == dataset:
                    return source, dataset
            return source, "entities"
    return None
