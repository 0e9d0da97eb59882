"""The names that decoding has to know: by them it finds the header of a table and the records in a JSON document."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pipeline_project.schema.names import folded


@dataclass(frozen=True)
class FieldNames:
    """The names that a source has for the fields of a dataset."""

    ids: Collection[str]
    """Names of the ID. A record has one of them."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Name -> field of the model. Includes the names of the ID."""
    id_fields: Collection[str] = ()
    """Fields of the model whose values are IDs, also IDs of other records."""

    @cached_property
    def folded_ids(self) -> frozenset[str]:
        """Return the names of the ID, folded."""
        return frozenset(map(folded, self.ids))

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {folded(name): found for name, found in self.fields.items()}

    def field_of(self, name: str) -> str | None:
        """Return the field that a name means: as it is, or else folded."""
        return self.fields.get(name) or self._folded.get(folded(name))

    def is_id(self, name: str) -> bool:
        """Check whether a name means the ID: as it is, or folded."""
        return name in self.ids or folded(name) in self.folded_ids

    def is_id_value(self, name: str) -> bool:
        """Check whether the values under a name are IDs: of the record itself, or of another record."""
        return self.is_id(name) or self.field_of(name) in self.id_fields

    def known(self, names: Iterable[str]) -> set[str]:
        """Return the fields of the model that these names mean."""
        return {found for name in names if (found := self.field_of(name)) is not None}
