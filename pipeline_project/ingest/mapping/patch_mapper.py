"""The mapper of partial records: a row also says which columns and attributes its record sent.

Values are mapped as those of whole records. What a version must have, such as a name, is not demanded of a single record:
earlier and later records can send it. Only a record that empties such a field is invalid.
"""

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any

from pipeline_project.ingest.decoding import Chunk, Flaw, RawRecord, decode, decode_any_number
from pipeline_project.ingest.mapping.copy_text import NULL, encode, escape
from pipeline_project.ingest.mapping.fast_path import FastColumns
from pipeline_project.ingest.mapping.mapper import TOGETHER
from pipeline_project.ingest.mapping.probe_keys import ProbeKeys, joined
from pipeline_project.ingest.mapping.rows import Bad, FieldError, ObjectPosition, Row, Rows
from pipeline_project.ingest.mapping.struct_columns import Path
from pipeline_project.ingest.mapping.versioned_mapper import VersionedMapper
from pipeline_project.schema.dataset import Dataset
from pipeline_project.sources.dialect import Dialect
from pipeline_project.sources.source import Source


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
        self._model_names = {path[0] for paths in self._aliases.values() for path in paths}
        # Rows need what was sent twice: to judge them, and to write them.
        self._sent_names = lru_cache(2 * TOGETHER)(self._read_sent_names)
        # Most records send the same fields as many others.
        self._unsent_texts = lru_cache(2 * TOGETHER)(self._unsent_text)

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

    def map(self, raw: RawRecord, ordinal: int, position: ObjectPosition, flaw: Flaw | None = None) -> Row | Bad:
        mapped = super().map(raw, ordinal, position, flaw)
        if isinstance(mapped, Bad):
            return mapped
        errors = [
            FieldError(alias, rule, f"{message}. Leave out the field to keep its value")
            for name, alias, rule, message in self._needed(mapped)
            if name in self._sent_names(bytes(raw))[0]
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
            if value == "" and name in self._sent_names(bytes(chunk.records[place]))[0]
        }
        if not doubtful:
            return rows
        return rows.take([place for place, ordinal in enumerate(rows.ordinals) if ordinal not in doubtful])

    def _provenance(self, record: RawRecord, mark: bytes, left_out: Collection[str] = ()) -> str:
        # A value that could not be read empties nothing: the earlier value stays.
        sent = self._sent_names(bytes(record)) if not left_out else self._read_sent_names(bytes(record), left_out)
        return super()._provenance(record, mark) + sent[1]

    def _read_sent_names(self, record: bytes, left_out: Collection[str] = ()) -> tuple[frozenset[str], str]:
        """Return the fields of the model that a record sent, also as null, and what was not sent as COPY text."""
        try:
            fields = decode(record)
        except ArithmeticError:
            fields = decode_any_number(record)
        variants = {meant[0].name for name in fields if (meant := self.reading.alias(name)) is not None}
        sent = frozenset(
            name
            for name, paths in self._aliases.items()
            if (name in variants or any(_is_sent(fields, path) for path in paths)) and name not in left_out
        )
        cleared: dict[str, None] = {
            name: None
            for name, value in fields.items()
            if (value is None or value == "")
            and (name not in self._model_names or name in self._nested)
            and self.reading.alias(name) is None
        }
        for name in self._attributes:
            if (
                name in sent
                and name not in variants
                and not any(_has_value(fields, path) for path in self._aliases[name])
            ):
                cleared[name] = None
        return sent, f"{self._unsent_texts(sent)}\t{escape(encode(cleared).decode()) if cleared else '{}'}"

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


def _has_value(fields: Any, path: Path) -> bool:
    for step in path:
        fields = fields.get(step) if type(fields) is dict else None
    return fields is not None and not (type(fields) is str and not fields.strip())
