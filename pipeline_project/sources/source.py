"""What a source system is. A module of this package with a `SOURCE` is registered by being there (registry.py)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from pipeline_project.datasets.registry import dataset_of_model, datasets
from pipeline_project.schema.dataset import Versioned
from pipeline_project.schema.fields import aliases
from pipeline_project.schema.fingerprint import fingerprint
from pipeline_project.schema.record import Record
from pipeline_project.sources.dialect import SAME_MARKS, UNDECLARED, Dialect, DialectError, Variant
from pipeline_project.sources.snapshot import Snapshot

NAME = re.compile("[a-z][a-z0-9]*")
"""The form of a source's name."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source system: its names for the fields of the canonical records, and how far it is trusted."""

    name: str
    """Prefix of its canonical IDs. The folder of its objects is `<name>-data/`."""
    description: str
    records: tuple[type[Record], ...] = ()
    """Subclasses of the record models of datasets, with the source's aliases. Other datasets keep their own models."""
    fallbacks: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Values of fields that a record does not send, for example `{"entity_type": "customer"}`."""
    revision: int = 0
    """Raise it when a function that a validator imports from another module begins to give other values.

    Every other change of the mapping is noticed by itself, through its fingerprint.
    """
    reject_threshold: float = 0.5
    """An object with a larger share of invalid records fails as a whole."""
    totals: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Control totals in an envelope's `summary`: the name there -> the numeric field that it sums up."""
    partial: tuple[str, ...] = ()
    """Datasets whose records send only what changed. A field that a record does not send keeps its value."""
    dialect: Dialect = UNDECLARED
    """How its files are written, as far as that is declared."""
    dialects: Mapping[str, Dialect] = field(default_factory=dict, hash=False)
    """The same of single datasets, merged over `dialect`."""
    variants: tuple[Variant, ...] = ()
    """The same of objects with certain keys, merged over the other two. The first variant whose keys fit counts."""
    snapshot: Snapshot | None = None
    """Which files of entities contain everything, so that an entity that is missing was deleted."""
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict, hash=False)
    """The same of other datasets."""

    def __post_init__(self) -> None:
        # With an underscore, an ID of one source could begin as those of another do, and be taken for one of them.
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"source {self.name!r}: a name is of lower-case letters and digits and begins with a letter"
            )
        seen: dict[str, type[Record]] = {}
        for model in self.records:
            dataset = dataset_of_model(model).name
            if dataset in seen:
                raise ValueError(
                    f"source {self.name!r}: {seen[dataset].__name__} and {model.__name__} are both records of {dataset}. "
                    "Keep one of them."
                )
            seen[dataset] = model
        for dataset in self.partial:
            self._check_partial(dataset)
        self._check_dialects()
        self._check_snapshots()

    @property
    def prefix(self) -> str:
        """The first folder of this source's keys."""
        return f"{self.name}-data"

    def totals_of(self, dataset: str) -> Mapping[str, str]:
        """Return the control totals of a dataset: those of its fields, if it keeps its history."""
        if not isinstance(datasets()[dataset].kind, Versioned):
            return {}
        fields = self.record(dataset).model_fields
        return {name: field for name, field in self.totals.items() if field in fields}

    def record(self, dataset: str) -> type[Record]:
        """Return the model of one of its datasets: its own, or else that of the dataset."""
        own = (model for model in self.records if dataset_of_model(model).name == dataset)
        return next(own, datasets()[dataset].record)

    def dialect_of(self, dataset: str, key: str) -> Dialect:
        """Return how an object with this key is written. Objects of one variant get the same dialect."""
        return _merged(self, dataset, next((each for each in self.variants if each.fits(key)), None))

    def snapshot_of(self, dataset: str) -> Snapshot | None:
        """Return which files of a dataset contain everything, if that is declared."""
        return self.snapshots.get(dataset, self.snapshot if dataset == _ENTITIES else None)

    def _check_snapshots(self) -> None:
        if self.snapshot is not None and _ENTITIES in self.snapshots:
            raise ValueError(
                f"source {self.name!r}: both snapshot and snapshots[{_ENTITIES!r}] are about {_ENTITIES}. Keep one of them."
            )
        for name, snapshot in ((_ENTITIES, self.snapshot), *self.snapshots.items()):
            if snapshot is None:
                continue
            dataset = datasets().get(name)
            if dataset is None:
                raise ValueError(
                    f"source {self.name!r}: snapshots names {name!r}, which is not a dataset. Correct the name."
                )
            if self.is_partial(name):
                raise ValueError(
                    f"source {self.name!r}: records of {name} are partial, and {name} also has snapshots. That is not supported "
                    f"together. Remove {name!r} from `partial`, or remove the snapshot."
                )
            if not isinstance(dataset.kind, Versioned):
                raise ValueError(
                    f"source {self.name!r}: {name} cannot have snapshots, because that dataset keeps no history: a full export "
                    "of it is a window, and a row outside the window is not deleted. Send tombstones instead."
                )
            if not re.match(rf"\^?{self.prefix}/", snapshot.keys):
                raise ValueError(
                    f"source {self.name!r}: the snapshot's keys = {snapshot.keys!r} do not begin with the folder of the source. "
                    f"Begin them with '{self.prefix}/'."
                )

    def fingerprint(self, dataset: str) -> str:
        """Return what tells the mapping of one of its datasets from every other mapping."""
        return fingerprint(
            source=self.name,
            dataset=datasets()[dataset],
            model=self.record(dataset),
            fallbacks=self.fallbacks,
            revision=self.revision,
            partial=self.is_partial(dataset),
            dialects=(self.dialect, self.dialects.get(dataset, UNDECLARED), *self.variants),
        )

    def is_partial(self, dataset: str) -> bool:
        """Return whether a record of a dataset sends only what changed."""
        return dataset in self.partial

    def _check_dialects(self) -> None:
        """Raise DialectError if a dialect names what does not exist, or contradicts another one."""
        for dataset in self.dialects:
            if dataset not in datasets():
                raise DialectError(dataset, f"there is no such dataset. Use one of: {', '.join(datasets())}.")
        known = {name for other in datasets() for each in self._names(other).values() for name in each}
        for dataset in datasets():
            for dialect in (_merged(self, dataset, variant) for variant in (None, *self.variants)):
                if dialect.header_lines == 0 and not dialect.columns:
                    raise DialectError(
                        "header_lines", "a file without a header needs the names of its columns. Declare `columns`."
                    )
                for each in self._names(dataset).values():
                    written = dialect.format_of(each)
                    if written.group and written.group == (written.decimal or "."):
                        raise DialectError("group", SAME_MARKS)
                # A text that stands for no value can be in any cell. All other settings need a field.
                for name in [
                    name for name, each in dialect.fields.items() if name not in known and not each.is_of_nulls
                ]:
                    raise DialectError(
                        f"fields.{name}",
                        f"no field of this source has the name {name}. Correct it, or add the name to a field.",
                    )

    def _names(self, dataset: str) -> Mapping[str, list[str]]:
        """Return the names of each field of a dataset: its own, and those that the source has for it."""
        fields = self.record(dataset).model_fields
        return {name: [name, *(".".join(path) for path in aliases(name, each))] for name, each in fields.items()}

    def _check_partial(self, name: str) -> None:
        dataset = datasets().get(name)
        if dataset is None:
            raise ValueError(
                f"source {self.name!r}: `partial` names the dataset {name!r}, which does not exist. "
                f"Use one of: {', '.join(datasets())}."
            )
        if not isinstance(dataset.kind, Versioned):
            raise ValueError(
                f"source {self.name!r}: records of {name} cannot be partial, because the dataset keeps no history. "
                f"Remove {name!r} from `partial`, and send whole records."
            )
        if dataset.mapper is not None:
            raise ValueError(
                f"source {self.name!r}: records of {name} cannot be partial, because the dataset has a mapper of its own "
                f"({dataset.mapper}). Remove {name!r} from `partial`, and send whole records."
            )


_ENTITIES = "entities"
"""The dataset of a source's folder, unless the next folder names another."""


@lru_cache(maxsize=1024)
def _merged(source: Source, dataset: str, variant: Variant | None) -> Dialect:
    """Return the dialect of a dataset. The cache keeps it one object, so that mappers are found by it quickly."""
    dialect = source.dialects.get(dataset, UNDECLARED).over(source.dialect)
    return dialect if variant is None else variant.dialect.over(dialect)
