"""The mapper of partial records: a row also says which columns and attributes its record sent.

Values are mapped as those of whole records. What a version must have, such as a name, is not demanded of a single record:
earlier and later records can send it. Only a record that empties such a field is invalid.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

from pipeline_project.ingest.decoding import Chunk, Flaw, RawRecord, decode, decode_any_number
from pipeline_project.ingest.mapping.copy_text import NULL, encode, escape
from pipeline_project.ingest.mapping.fast_path import FastColumns
from pipeline_project.ingest.mapping.probe_keys import ProbeKeys, joined
from pipeline_project.ingest.mapping.reading import UNREAD_ATTRIBUTE
from pipeline_project.ingest.mapping.rows import Bad, FieldError, Mapped, ObjectPosition, Row, Rows
from pipeline_project.ingest.mapping.struct_columns import Path
from pipeline_project.ingest.mapping.versioned_mapper import VersionedMapper
from pipeline_project.schema.dataset import Dataset
from pipeline_project.schema.record import Record
from pipeline_project.sources.dialect import Dialect
from pipeline_project.sources.source import Source

SETS_OF_FIELDS = 1_000
"""Number of sets of sent fields whose text for COPY is kept."""


class PatchMapper(VersionedMapper):
    """Maps records of a source that sends only what changed."""

    def __init__(
        self,
        source: Source,
        dataset: Dataset,
        mapping_version: int = 0,
        dialect: Dialect | None = None,
        *,
        cells: bool = False,
    ) -> None:
        super().__init__(source, dataset, mapping_version, dialect, cells=cells)
        columns = {column.field: column for column in dataset.content if column.field not in (None, "deleted")}
        self._column_of = {name: columns[name].name for name in self._aliases if name in columns}
        fallbacks = {name: self._cell(columns[name]).fallback for name in self._column_of}
        self._base = {name: text for name in fallbacks if (text := self._default_texts.get(name) or fallbacks[name])}
        aliases = [(name, path) for name, paths in self._aliases.items() for path in paths]
        self._model_names = {path[0] for _, path in aliases}
        self._field_of = {path[0]: name for name, path in aliases if len(path) == 1}
        self._nested_aliases = [(name, path) for name, path in aliases if len(path) > 1]
        # What the records of a chunk sent. It is needed twice: to judge the rows, and to write them.
        self._read_before: dict[bytes, tuple[frozenset[str], str]] = {}
        # Most records send the same fields as many others.
        self._unsent_texts = lru_cache(SETS_OF_FIELDS)(self._unsent_text)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, "unsent", "base", "cleared")

    @property
    def attribute_fields(self) -> list[str]:
        """The fields of the model that have no column. Their values are attributes."""
        return self._attributes

    @property
    def field_count(self) -> int:
        """The number of fields that count for the quality score."""
        return len(self._qualities) - 1

    def probe_keys(self, chunk: Chunk, position: ObjectPosition, object_place: int) -> ProbeKeys:  # noqa: ARG002
        """Return no keys: a record that is sent again is stored, since it sends its fields again at a later position."""
        return joined([])

    def map_all(self, chunk: Chunk, places: Sequence[int], position: ObjectPosition) -> Mapped:
        # Chunks are bounded in bytes, so what is kept of one is bounded, too.
        self._read_before.clear()
        return super().map_all(chunk, places, position)

    def map(self, raw: RawRecord, ordinal: int, position: ObjectPosition, flaw: Flaw | None = None) -> Row | Bad:
        mapped = super().map(raw, ordinal, position, flaw)
        if isinstance(mapped, Bad):
            return mapped
        errors = [
            FieldError(alias, rule, f"{message}. Leave out the field to keep its value")
            for name, alias, rule, message in self._needed(mapped)
            if name in self._sent_names(raw)[0]
        ]
        if not errors:
            return mapped
        bad = self._bad(raw, ordinal, position, errors, updated_at=mapped.updated_at)
        return bad._replace(key=mapped.key)

    def _require(self) -> None:
        """Leave to the fold of all records what no single record has to send."""
        super()._require()
        blank = {**dict.fromkeys(self.dataset.fields), "deleted": False}
        self._folded_rules = [(rule, alias) for rule, alias in self._rules if not rule.holds(blank)]
        self._rules = [(rule, alias) for rule, alias in self._rules if rule.holds(blank)]
        self._folded_fields, self._to_check = self._to_check, []
        self._always_sent = [name for name in self._always_sent if name not in self._folded_fields]
        needed = [*self._folded_fields, *(rule.field for rule, _ in self._folded_rules)]
        self._needed_places = [(name, self._read.index(name)) for name in needed]

    def _needed(self, row: Row) -> Iterable[tuple[str, str, str, str]]:
        """Yield field, alias, rule and message of everything that the record would have to send if it were a whole record."""
        for name in self._folded_fields:
            if row.fields[name] is None:
                yield name, self._aliases[name][0][-1], "missing", f"is required: send {name}"
        for rule, alias in self._folded_rules:
            if not rule.holds(row.fields):
                yield rule.field, alias, rule.name, rule.message

    def _rows(self, found: FastColumns, chunk: Chunk, position: ObjectPosition) -> Rows:
        """Leave out records that empty a field which a version must have. The single-record path reports them."""
        rows = super()._rows(found, chunk, position)
        doubtful = {
            chunk.first_ordinal + place
            for name, column in self._needed_places
            for place, value in zip(found.places, found.columns[column], strict=True)
            if value == "" and name in self._sent_names(chunk.records[place])[0]
        }
        if not doubtful:
            return rows
        return rows.take([place for place, ordinal in enumerate(rows.ordinals) if ordinal not in doubtful])

    def _content(self, record: Record, others: dict[str, Any]) -> str:
        # The earlier value stays, and the reject has the text that could not be read.
        return super()._content(record, {name: value for name, value in others.items() if name != UNREAD_ATTRIBUTE})

    def _provenance(self, record: RawRecord, mark: bytes, left_out: Collection[str] = ()) -> str:
        # A value that could not be read empties nothing.
        sent = self._read_sent_names(bytes(record), left_out) if left_out else self._sent_names(record)
        return super()._provenance(record, mark) + sent[1]

    def _sent_names(self, record: RawRecord) -> tuple[frozenset[str], str]:
        key = bytes(record)
        found = self._read_before.get(key)
        if found is None:
            found = self._read_before[key] = self._read_sent_names(key)
        return found

    def _read_sent_names(self, record: bytes, left_out: Collection[str] = ()) -> tuple[frozenset[str], str]:
        """Return the fields of the model that a record sent, also as null, and what was not sent as COPY text."""
        try:
            fields = decode(record)
        except ArithmeticError:
            fields = decode_any_number(record)
        names = {name: self._field_of.get(name) or self._meant(name) for name in fields}
        sent = {field for field in names.values() if field is not None}
        sent.update(name for name, path in self._nested_aliases if path[0] in fields and _is_sent(fields, path))
        sent.difference_update(left_out)
        cleared: dict[str, None] = {
            name: None
            for name, field in names.items()
            if field is None
            and (name not in self._model_names or name in self._nested)
            and self._is_nothing(name, fields[name])
        }
        for name in self._attributes:
            if name in sent and not self._has_value(name, fields, names):
                cleared[name] = None
        which = frozenset(sent)
        return which, f"{self._unsent_texts(which)}\t{escape(encode(cleared).decode()) if cleared else '{}'}"

    def _meant(self, name: str) -> str | None:
        """Return the field of which a name is a variant."""
        meant = self.reading.alias(name)
        return None if meant is None else meant[0].name

    def _is_nothing(self, name: str, value: Any) -> bool:
        return value is None or self.reading.text(name, value) == ""

    def _has_value(self, field: str, fields: dict[str, Any], names: dict[str, str | None]) -> bool:
        """Return whether a record sends a field with a value, under one of its aliases or a variant of them."""
        values = [(path[-1], _value(fields, path)) for path in self._aliases[field]]
        values += [(name, fields[name]) for name, meant in names.items() if meant == field]
        return any(
            not self._is_nothing(name, value)
            and not self.reading.fields[field].is_null(value)
            and not (type(value) is str and value.isspace())
            for name, value in values
        )

    def _unsent_text(self, sent: frozenset[str]) -> str:
        """Return the columns that were not sent, and their fallback values, as COPY text."""
        unsent = ",".join(column for name, column in self._column_of.items() if name not in sent)
        base = {self._column_of[name]: text for name, text in self._base.items() if name not in sent}
        return f"\t{{{unsent}}}\t{escape(encode(base).decode()) if base else NULL}"


def _is_sent(fields: Any, path: Path) -> bool:
    """Return whether a record has a field at a path. A null in the place of an object empties all fields of the object."""
    for step in path:
        if fields is None:
            return True
        if type(fields) is not dict or step not in fields:
            return False
        fields = fields[step]
    return True


def _value(fields: Any, path: Path) -> Any:
    for step in path:
        fields = fields.get(step) if type(fields) is dict else None
    return fields
