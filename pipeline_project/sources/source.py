"""What a source system is. A module of this package with a `SOURCE` is registered by being there (registry.py)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline_project.schema.fields import Dataset, EntityRecord, MetricRecord, Record, RelationshipRecord


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source system: how its records spell the canonical ones, and how far it is trusted."""

    name: str
    """Prefix of its canonical ids; the folder of its objects is `<name>-data/`."""
    description: str
    entity: type[EntityRecord]
    relationship: type[RelationshipRecord] = RelationshipRecord
    metric: type[MetricRecord] = MetricRecord
    entity_type: str
    """Type of its entities that do not name one."""
    mapping_version: int
    """Raise it with every change to the spellings: records that were read with another version are mapped anew."""
    reject_threshold: float = 0.5
    """An object with a larger share of bad records is refused whole."""
    totals: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Control totals in an envelope's `summary`: its name there -> the numeric entity field that it sums up."""

    def __post_init__(self) -> None:
        # With an underscore, an id of one source could begin as those of another do, and so be taken for one of them.
        if not re.fullmatch("[a-z][a-z0-9]*", self.name):
            raise ValueError(
                f"source {self.name!r}: a name is of lower-case letters and digits and begins with a letter"
            )

    @property
    def prefix(self) -> str:
        """The first folder of this source's keys."""
        return f"{self.name}-data"

    def totals_of(self, dataset: Dataset) -> Mapping[str, str]:
        """The control totals that records of a dataset are summed up for."""
        return self.totals if dataset == "entities" else {}

    def record(self, dataset: Dataset) -> type[Record]:
        """The model of one of its datasets."""
        return {"entities": self.entity, "relationships": self.relationship, "metrics": self.metric}[dataset]
