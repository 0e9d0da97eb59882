"""What a source system is. A module of this package with a `SOURCE` is registered by being there (registry.py)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline_project.sources.records import Dataset, EntityRecord, MetricRecord, Record, RelationshipRecord


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

    @property
    def prefix(self) -> str:
        """The first folder of this source's keys."""
        return f"{self.name}-data"

    def record(self, dataset: Dataset) -> type[Record]:
        """The model of one of its datasets."""
        return {"entities": self.entity, "relationships": self.relationship, "metrics": self.metric}[dataset]
