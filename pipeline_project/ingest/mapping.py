"""From the text of a record to a row of the canonical model, or to the list of what is wrong with it. Pure.

A row is a line for COPY. What is common to a whole object (its id, its time) is part of it, so that rows of several
objects can be staged together. The content hash is taken over the content columns of the line.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from pydantic import AliasChoices, AliasPath, TypeAdapter, ValidationError

from pipeline_project.ingest.json_records import OVERSIZE, Flaw, RawRecord
from pipeline_project.ingest.ordinary import NO_CONTENT, OrdinaryRecords, timestamp
from pipeline_project.sources.records import ID_LENGTH, Dataset, EntityRecord, MetricRecord, Record, RelationshipRecord
from pipeline_project.sources.source import Source

ASIDE = ("source_id", "entity_type", "updated_at", "deleted")
"""What the short way gives back of an entity beside its hot columns."""
FUTURE = timedelta(days=1)
"""A record may be this much newer than its object (clocks differ); beyond, it would win for ever."""
NULL = ""
"""COPY's null: blank texts count as not sent, so it stands for nothing else."""
QUALITY_DECIMALS = 6
"""As many as PostgreSQL's real tells apart; of smaller numbers it refuses some."""
LARGEST_EXPONENT = 300
DIGITS_OF_INTEGER = 1024
"""In bits. Larger numbers are no measurements, and PostgreSQL would spell out every digit."""

NUMBER_TOO_LARGE = ("number_too_large", "holds a number that is too large to be stored")
DEEPEST = 100
"""Levels of nesting. Within the stack of every Python and of PostgreSQL's jsonb."""

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_datetime = TypeAdapter(datetime)
_encode = msgspec.json.Encoder(decimal_format="number", order="sorted").encode
_TO_ESCAPE = re.compile(r"[\\\t\n\r]")
_ESCAPES = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}


class FieldError(NamedTuple):
    """What is wrong with a field: its name in the record, a stable rule, and a sentence for people."""

    field: str
    rule: str
    message: str


TOO_DEEP = FieldError("", "nested_too_deeply", f"is nested more than {DEEPEST} levels deep: flatten it")


@dataclass(frozen=True)
class ObjectPosition:
    """What places an object's rows among those of others."""

    object_id: int
    modified_at: datetime

    @cached_property
    def line(self) -> str:
        """As COPY text: object_modified_at and object_id."""
        return f"{self.modified_at.isoformat()}\t{self.object_id}"


class Row(NamedTuple):
    """A record that can be loaded. Of the same key in one object, the greatest (updated_at, ordinal) counts."""

    key: str
    updated_at: datetime
    ordinal: int
    line: str
    fields: Mapping[str, Any]
    """The validated fields, for control totals."""


class Bad(NamedTuple):
    """A record that cannot be loaded. `errors` is never empty."""

    key: str | None
    updated_at: datetime
    ordinal: int
    raw: bytes
    raw_complete: bool
    errors: list[FieldError]
    line: int | None = None


class Peek(NamedTuple):
    """What tells whether a record is already there in this very form."""

    key: str
    updated_at: datetime
    digest: str


class Mapper:
    """Maps records of one dataset of one source. `columns` names the COPY columns, in the order of the line."""

    dataset: Dataset
    content_columns: tuple[str, ...]
    key_columns: tuple[str, ...]

    def __init__(self, source: Source) -> None:
        self.source = source
        self.model = source.record(self.dataset)
        # The spellings a field may have, the preferred first; a path into a nested object as a tuple.
        self._spellings: dict[str, list[tuple[str, ...]]] = {
            name: _spellings(name, field.validation_alias) for name, field in self.model.model_fields.items()
        }
        self._validate = self.model.__pydantic_validator__.validate_python
        self._nested = [paths for paths in self._spellings.values() if any(len(path) > 1 for path in paths)]
        self._nested_names = frozenset(path[0] for paths in self._nested for path in paths if len(path) > 1)
        self._digest_seed = f"{source.name} {self.dataset} {source.mapping_version} ".encode()

    @property
    def columns(self) -> tuple[str, ...]:
        return (
            *self.key_columns,
            *("source", "source_updated_at", "object_modified_at", "object_id", "ordinal", "content_hash"),
            *self.content_columns,
        )

    def id_spellings(self) -> Collection[str]:
        """The names that a record's id may have."""
        return frozenset(path[0] for path in self._spellings["source_id"])

    def map(self, raw: RawRecord, ordinal: int, position: ObjectPosition, flaw: Flaw | None = None) -> Row | Bad:
        """The row, or what is wrong. Never raises for a bad record. `flaw` is what the decoder found."""
        if flaw is not None:
            return self._bad(raw, ordinal, position, [FieldError("", *flaw)], complete=flaw is not OVERSIZE)
        data = bytes(raw)
        fields = _fields(data, self._nested_names)
        if isinstance(fields, FieldError):
            return self._bad(raw, ordinal, position, [fields])
        try:
            record = self._validated(fields)
        except ValidationError as error:
            return self._bad(raw, ordinal, position, self._field_errors(error), fields, self._time_of_bad(fields))
        updated_at = record.updated_at
        if updated_at is None:
            updated_at = position.modified_at
        elif updated_at.tzinfo is None:
            updated_at = updated_at.replace(tzinfo=UTC)
        errors = self._check(record)
        if updated_at > position.modified_at and updated_at > position.modified_at + FUTURE:
            errors.append(
                FieldError(
                    "updated_at", "in_future", "lies more than a day after the upload: correct the clock or the date"
                )
            )
        others = self._others(fields, record)
        for name, value in others.items():
            if type(value) is not str and _unstorable(value):
                errors.append(FieldError(name, *NUMBER_TOO_LARGE))
        if errors:
            return self._bad(raw, ordinal, position, errors, fields, updated_at)
        content = self._content(record, others)
        # NUL has no place in PostgreSQL's texts. The JSON columns would hold it as an escape.
        key = self._key(record)
        if ("\0" in key or "\0" in content or "\\u0000" in content) and (faulty := _nul_field(fields)):
            error = FieldError(faulty, "nul_character", "holds a NUL character (\\u0000): remove it")
            return self._bad(raw, ordinal, position, [error], fields, updated_at)
        row = self._row(self._key_line(record), updated_at, ordinal, position, content, data)
        return Row(key, updated_at, ordinal, row, record.__dict__)

    def _row(
        self, key: str, updated_at: datetime, ordinal: int, position: ObjectPosition, content: str, data: bytes
    ) -> str:
        """The line for COPY."""
        digest = hashlib.sha256(content.encode()).hexdigest()[:32]
        return (
            f"{key}\t{self.source.name}\t{updated_at.isoformat()}\t{position.line}\t{ordinal}\t"
            f"{digest}\t{content}{self._provenance(data)}"
        )

    def _validated(self, fields: dict[str, Any]) -> Any:
        try:
            return self._validate(fields)
        except ValidationError:
            # A blank counts as not sent: perhaps that is all that was wrong.
            filled = _filled(fields, self._nested_names, spaces=False)
            if filled == fields:
                raise
            fields.clear()
            fields.update(filled)
            return self._validate(fields)

    # --- what the datasets differ in

    def _key(self, record: Any) -> str:
        raise NotImplementedError

    def _key_line(self, record: Any) -> str:
        raise NotImplementedError

    def _check(self, record: Any) -> list[FieldError]:
        """Rules beyond types and bounds of single fields."""
        raise NotImplementedError

    def _content(self, record: Any, others: dict[str, Any]) -> str:
        """The content columns as COPY text."""
        raise NotImplementedError

    def _provenance(self, data: bytes) -> str:  # noqa: ARG002 of entities only
        """What stands behind the content, outside of its hash, as COPY text."""
        return ""

    # --- common parts

    def _canonical(self, source_id: str) -> str:
        return f"{self.source.name}_{source_id}"

    def _others(self, fields: dict[str, Any], record: Record) -> dict[str, Any]:
        """All that was sent and that no field of the model took."""
        others = record.__pydantic_extra__ or {}
        if self._nested:
            others = dict(others)
            for paths in self._nested:
                self._keep_rest(fields, paths, others)
        return others

    def _keep_rest(self, fields: dict[str, Any], paths: list[tuple[str, ...]], others: dict[str, Any]) -> None:
        """Of a nested object out of which a value was taken, the rest; and the spellings that were not preferred."""
        taken = False
        for path in paths:
            value = fields.get(path[0])
            if value is None:
                continue
            if len(path) == 1:
                if taken:
                    others[path[0]] = value
                taken = True
            elif isinstance(value, dict):
                rest = others.setdefault(path[0], dict(value))
                if not taken and path[1] in rest:
                    del rest[path[1]]
                    taken = True
                if not rest:
                    del others[path[0]]
            else:
                others[path[0]] = value

    def _bad(
        self,
        raw: RawRecord,
        ordinal: int,
        position: ObjectPosition,
        errors: list[FieldError],
        fields: dict[str, Any] | None = None,
        updated_at: datetime | None = None,
        *,
        complete: bool = True,
    ) -> Bad:
        key = self._key_of_bad(fields) if fields else None
        # A wrong time in the future would keep the mended row from ever being newer.
        if updated_at is None or updated_at > position.modified_at + FUTURE:
            updated_at = position.modified_at
        return Bad(key, updated_at, ordinal, bytes(raw), complete, errors)

    def _time_of_bad(self, fields: dict[str, Any]) -> datetime | None:
        try:
            updated_at = _datetime.validate_python(self._sent("updated_at", fields))
        except ValidationError:
            return None
        return updated_at.replace(tzinfo=UTC) if updated_at.tzinfo is None else updated_at

    def _sent(self, name: str, fields: dict[str, Any]) -> Any:
        """What a record has for a field, under the first spelling of it that is there; None if there is none."""
        for path in self._spellings[name]:
            value: Any = fields
            for step in path:
                value = value.get(step) if isinstance(value, dict) else None
            if value is not None:
                return value
        return None

    def _key_of_bad(self, fields: dict[str, Any]) -> str | None:  # noqa: ARG002 only entities can tell
        return None

    def _field_errors(self, error: ValidationError) -> list[FieldError]:
        return [
            FieldError(".".join(str(part) for part in detail["loc"]), detail["type"], detail["msg"])
            for detail in error.errors(include_url=False, include_context=False, include_input=False)
        ]


class EntityMapper(Mapper):
    """Entities. The only ones with a digest of the record: a re-sent record that did not change needs no mapping."""

    dataset = "entities"
    key_columns = ("canonical_id",)
    hot_columns = (
        *("name", "status", "industry", "region", "country", "customer_tier"),
        *("revenue", "employees", "lifetime_value", "total_spent", "total_orders"),
    )
    content_columns = (
        "entity_type",
        "deleted",
        *hot_columns,
        "attributes",
        "quality_score",
        "mapping_version",
        "record_digest",
    )

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        columns = {*self.hot_columns, "source_id", "entity_type", "updated_at", "deleted"}
        self._attributes = [name for name in self.model.model_fields if name not in columns]
        self._id_names = tuple(self._peeked("source_id"))
        self._update_names = tuple(self._peeked("updated_at"))
        self._hot = itemgetter(*self.hot_columns)
        ordinary = OrdinaryRecords(self.model, self._spellings, (*self.hot_columns, *ASIDE))
        # Control totals are sums of validated fields, which the short way does not have.
        self._ordinary = ordinary if ordinary.complete and not source.totals else None
        # By the share of the model's fields that were sent.
        fields = len(self._spellings.keys() - NO_CONTENT)
        self._qualities = [f"{filled / fields:.2f}" for filled in range(fields + 1)]

    def map(self, raw: RawRecord, ordinal: int, position: ObjectPosition, flaw: Flaw | None = None) -> Row | Bad:
        if self._ordinary is not None and flaw is None:
            row = self._short_way(self._ordinary, bytes(raw), ordinal, position)
            if row is not None:
                return row
        return super().map(raw, ordinal, position, flaw)

    def _short_way(self, ordinary: OrdinaryRecords, data: bytes, ordinal: int, position: ObjectPosition) -> Row | None:
        """The row of an ordinary, good record; None where it takes the models to tell."""
        if data.count(b"[") + data.count(b"{") > DEEPEST:
            return None
        found = ordinary.read(data)
        if found is None:
            return None
        *hot, source_id, kind, updated_at, deleted = found.columns
        deleted = deleted or hot[1].lower() == "deleted"
        updated_at = updated_at or position.modified_at
        if (
            not source_id
            or not (hot[0] or deleted)
            or updated_at > position.modified_at
            or any(type(value) is not str and _unstorable(value) for value in found.attributes.values())
        ):
            return None
        columns = "\t".join((kind or self.source.entity_type, "t" if deleted else "f", *hot))
        if "\\" in columns or "\n" in columns or "\r" in columns or columns.count("\t") > len(hot) + 1:
            return None
        text = _encode(found.attributes).decode() if found.attributes else "{}"
        content = f"{columns}\t{escape(text)}\t{self._qualities[found.filled]}"
        if "\0" in source_id or "\0" in content or "\\u0000" in content:
            return None
        key = self._canonical(source_id)
        return Row(key, updated_at, ordinal, self._row(escape(key), updated_at, ordinal, position, content, data), {})

    def _provenance(self, data: bytes) -> str:
        return f"\t{self.source.mapping_version}\t{self.digest(data)}"

    def digest(self, raw: RawRecord) -> str:
        """Of the record's bytes, as they came, and of how they are mapped; 128 bits in hex."""
        hashed = hashlib.sha256(self._digest_seed)
        hashed.update(raw)
        return hashed.hexdigest()[:32]

    @cached_property
    def _peek(self) -> msgspec.json.Decoder[Any] | None:
        """Reads id and update time and skips all else; None where they lie in nested objects."""
        paths = {**self._peeked("source_id"), **self._peeked("updated_at")}
        if any(len(path) > 1 for path in paths.values()):
            return None
        keys = msgspec.defstruct(
            "Peek", [(name, Any, None) for name in paths], rename={name: path[0] for name, path in paths.items()}
        )
        return msgspec.json.Decoder(keys)

    def _peeked(self, name: str) -> dict[str, tuple[str, ...]]:
        """The spellings of a field, each with the name it has in a peek."""
        return {f"{name}_{i}": path for i, path in enumerate(self._spellings[name])}

    def peek(self, raw: RawRecord, position: ObjectPosition) -> Peek | None:
        """Key, time and digest of a record that looks ordinary; None where it has to be mapped to know."""
        if self._peek is None:
            return None
        try:
            keys = self._peek.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
            return None
        source_id = updated = None
        for name in self._id_names:
            source_id = getattr(keys, name)
            if source_id is not None and source_id != "":
                break
        for name in self._update_names:
            updated = getattr(keys, name)
            if updated is not None and updated != "":
                break
        if type(source_id) is int:
            source_id = str(source_id)
        elif type(source_id) is not str or not (source_id := source_id.strip()) or "\0" in source_id:
            return None
        updated_at = position.modified_at
        if updated is not None and updated != "":
            updated_at = timestamp(updated)
            if updated_at is None or updated_at > position.modified_at:
                return None
        return Peek(self._canonical(source_id), updated_at, self.digest(raw))

    def _key(self, record: EntityRecord) -> str:
        return self._canonical(record.source_id)

    def _key_line(self, record: EntityRecord) -> str:
        return escape(self._canonical(record.source_id))

    def _check(self, record: EntityRecord) -> list[FieldError]:
        if record.name is None and not _is_deleted(record):
            return [FieldError(self._spellings["name"][0][-1], "missing", "is required: an entity has a name")]
        return []

    def _content(self, record: EntityRecord, others: dict[str, Any]) -> str:
        values = record.__dict__
        attributes = {name: value for name in self._attributes if (value := values[name]) is not None}
        if others:
            attributes = {**others, **attributes}
        filled = sum(value is not None for name, value in values.items() if name not in NO_CONTENT)
        hot = [
            value if type(value) is str else "" if value is None else copy_text(value) for value in self._hot(values)
        ]
        kind = record.entity_type or self.source.entity_type
        columns = "\t".join((kind, "t" if _is_deleted(record) else "f", *hot))
        if "\\" in columns or "\n" in columns or "\r" in columns or columns.count("\t") > len(hot) + 1:
            columns = "\t".join((escape(kind), "t" if _is_deleted(record) else "f", *map(copy_text, self._hot(values))))
        # JSON has its control characters escaped; only the backslashes of that are COPY's too.
        text = _encode(attributes).decode() if attributes else "{}"
        return f"{columns}\t{escape(text)}\t{self._qualities[filled]}"

    def _key_of_bad(self, fields: dict[str, Any]) -> str | None:
        value = self._sent("source_id", fields)
        if not isinstance(value, str | int) or isinstance(value, bool):
            return None
        text = str(value).strip()
        return self._canonical(text) if 0 < len(text) <= ID_LENGTH and "\0" not in text else None


class RelationshipMapper(Mapper):
    """Relationships. An end that is not there yet is no error: the relationship counts once both ends are."""

    dataset = "relationships"
    key_columns = ("parent_canonical_id", "child_canonical_id", "relationship_type", "valid_from")
    content_columns = ("valid_to", "deleted", "attributes")

    def id_spellings(self) -> Collection[str]:
        return ("parent_canonical_id", "parent_id")

    def _ends(self, record: RelationshipRecord) -> tuple[str | None, str | None]:
        parent = record.parent_canonical_id or (self._canonical(record.parent_id) if record.parent_id else None)
        child = record.child_canonical_id or (self._canonical(record.child_id) if record.child_id else None)
        return parent, child

    def _key(self, record: RelationshipRecord) -> str:
        return "\t".join((*map(str, self._ends(record)), record.relationship_type, str(record.valid_from)))

    def _key_line(self, record: RelationshipRecord) -> str:
        return "\t".join(map(copy_text, (*self._ends(record), record.relationship_type, record.valid_from)))

    def _check(self, record: RelationshipRecord) -> list[FieldError]:
        errors = [
            FieldError(f"{end}_id", "missing", f"is required: {end}_id (of this source) or {end}_canonical_id")
            for end, value in zip(("parent", "child"), self._ends(record), strict=True)
            if value is None
        ]
        parent, child = self._ends(record)
        if parent is not None and parent == child:
            errors.append(FieldError("child_id", "self_reference", "is the parent itself"))
        if record.valid_to is not None and record.valid_to < record.valid_from:
            errors.append(FieldError("valid_to", "before_start", "lies before valid_from"))
        return errors

    def _content(self, record: RelationshipRecord, others: dict[str, Any]) -> str:
        deleted = "t" if record.deleted else "f"
        return "\t".join((copy_text(record.valid_to), deleted, escape(_encode(others).decode())))


class MetricMapper(Mapper):
    """Metrics: a value of a type, of an entity, on a day. What else was sent joins the tags."""

    dataset = "metrics"
    key_columns = ("canonical_id", "metric_type", "metric_date")
    content_columns = ("value", "quality", "tags", "deleted")

    def _key(self, record: MetricRecord) -> str:
        return "\t".join((self._canonical(record.source_id), record.metric_type, str(record.metric_date)))

    def _key_line(self, record: MetricRecord) -> str:
        return "\t".join(map(copy_text, (self._canonical(record.source_id), record.metric_type, record.metric_date)))

    def _check(self, record: MetricRecord) -> list[FieldError]:
        errors: list[FieldError] = []
        if record.value is None and not record.deleted:
            errors.append(FieldError("value", "missing", "is required: a metric has a value"))
        if _unstorable(record.tags):
            errors.append(FieldError("tags", *NUMBER_TOO_LARGE))
        return errors

    def _content(self, record: MetricRecord, others: dict[str, Any]) -> str:
        tags = record.tags if record.tags is not None else {}
        if others:
            tags = {**others, **tags} if isinstance(tags, dict) else {**others, "tags": tags}
        deleted = "t" if record.deleted else "f"
        quality = copy_text(None if record.quality is None else round(record.quality, QUALITY_DECIMALS))
        return "\t".join((copy_text(record.value), quality, escape(_encode(tags).decode()), deleted))


MAPPERS: Mapping[Dataset, type[Mapper]] = {
    "entities": EntityMapper,
    "relationships": RelationshipMapper,
    "metrics": MetricMapper,
}


def escape(text: str) -> str:
    """A text as COPY's text format wants it."""
    if "\\" in text or "\t" in text or "\n" in text or "\r" in text:
        return _TO_ESCAPE.sub(lambda match: _ESCAPES[match.group()], text)
    return text


def copy_text(value: Any) -> str:
    """A validated value as COPY text; equal numbers give equal texts (1.10 and 1.1)."""
    if value is None:
        return NULL
    if type(value) is str:
        return escape(value)
    if type(value) is Decimal:
        text = str(value)
        if "E" in text:
            text = format(value, "f")
        if "." in text and text[-1] == "0":
            text = text.rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def _is_deleted(record: EntityRecord) -> bool:
    return record.deleted or (record.status is not None and record.status.lower() == "deleted")


def _spellings(name: str, alias: Any) -> list[tuple[str, ...]]:
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    return [
        tuple(str(part) for part in choice.path) if isinstance(choice, AliasPath) else (str(choice),)
        for choice in choices
    ]


def _fields(data: bytes, nested: Collection[str]) -> dict[str, Any] | FieldError:
    """What was sent, and not null or empty."""
    try:
        fields = _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        return _syntax(error)
    if not isinstance(fields, dict):
        return FieldError("", "not_an_object", "a record is an object: {…}")
    if data.count(b"[") + data.count(b"{") > DEEPEST and _depth(fields) > DEEPEST:
        return TOO_DEEP
    if b"null" in data or b'""' in data:
        return _filled(fields, nested)
    return fields


def _filled(fields: dict[str, Any], nested: Collection[str], *, spaces: bool = True) -> dict[str, Any]:
    """The fields that are neither null nor empty; of the objects named in `nested` likewise. `spaces` fill a field."""
    return {
        name: _filled(value, (), spaces=spaces) if name in nested and isinstance(value, dict) else value
        for name, value in fields.items()
        if value is not None and value != "" and (spaces or not isinstance(value, str) or not value.isspace())
    }


def _syntax(error: Exception) -> FieldError:
    if isinstance(error, RecursionError):
        return TOO_DEEP
    if isinstance(error, UnicodeDecodeError):
        return FieldError("", "bad_encoding", "not valid UTF-8: export the file as UTF-8")
    return FieldError("", "bad_json", f"not valid JSON: {str(error).removeprefix('JSON is malformed: ')}")


def _depth(value: Any) -> int:
    """How many objects and arrays stand within one another."""
    depth, level = 0, [value]
    while level := [each for each in level if type(each) in (dict, list)]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if type(each) is dict else each)]
    return depth


def _unstorable(value: Any) -> bool:
    """Whether a number in it would be spelled out over megabytes, or not at all."""
    if type(value) is Decimal:
        return not value.is_finite() or abs(value.adjusted()) > LARGEST_EXPONENT
    if type(value) is int:
        return value.bit_length() > DIGITS_OF_INTEGER
    if type(value) is dict:
        return any(map(_unstorable, value.values()))
    return type(value) is list and any(map(_unstorable, value))


def _nul_field(fields: dict[str, Any]) -> str | None:
    """The first field with a NUL character in it, at any depth."""

    def has_nul(value: Any) -> bool:
        if isinstance(value, str):
            return "\0" in value
        if isinstance(value, dict):
            return any("\0" in name or has_nul(item) for name, item in value.items())
        return isinstance(value, list) and any(map(has_nul, value))

    return next((name for name, value in fields.items() if "\0" in name or has_nul(value)), None)
