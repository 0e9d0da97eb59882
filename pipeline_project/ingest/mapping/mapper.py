"""From the text of a record to a row of the canonical model, or to the list of what is wrong with it. Pure.

A row is a line for COPY. What is common to a whole object (its id, its time) is part of it, so that rows of several
objects can be staged together. The content hash is taken over the content columns of the line.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import chain
from types import NoneType
from typing import Any, ClassVar, NamedTuple

from pydantic import TypeAdapter, ValidationError

from pipeline_project.ingest.decoding import OVERSIZE, UNREADABLE, Chunk, Flaw, RawRecord, decode, decode_any_number
from pipeline_project.ingest.mapping.copy_text import DEEPEST, depth, is_plain, unstorable
from pipeline_project.ingest.mapping.fast_path import FastColumns, FastPath
from pipeline_project.ingest.mapping.rows import Bad, FieldError, Mapped, ObjectPosition, Row, Rows
from pipeline_project.ingest.mapping.struct_columns import Path
from pipeline_project.schema.fields import Time, aliases, in_utc
from pipeline_project.schema.record import Record
from pipeline_project.sources.source import Source

FUTURE = timedelta(days=1)
"""A record may be this much newer than its object (clocks differ); beyond, it would win for ever."""
TOGETHER = 500
"""Records that are mapped column by column: as many as a core has in its cache. Of thousands, each takes a third longer."""

_WITHOUT_NUMBERS = frozenset({str, bool, NoneType})

MOST_ERRORS = 100
"""Errors that a reject keeps. A record of 16 MB can have a million fields, all of them wrong."""
LONGEST_NAME = 1_000
"""Characters of a field's name that a reject keeps."""

NUMBER_TOO_LARGE = ("number_too_large", "holds a number that is too large or too small to be stored")
_HOW_TO_WRITE = {"date": ": write a day as 2024-12-31", "datetime": ": write a time as 2024-12-31T23:59:59Z"}
"""What pydantic does not say of a field that it could not read, by the first word of the rule."""

_DATE = re.compile(r"datetime\.date\((\d+), (\d+), (\d+)\)")
"""How pydantic writes the bound of a day."""
_LONE_SURROGATE = re.compile(
    rb"(?:[^\\]++|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\(?!u[dD][89a-fA-F]).)*+(\\u[dD][89a-fA-F][0-9a-fA-F]{2})",
    re.DOTALL,
)
"""The first escape of half a character that the other half does not stand beside."""

_time = TypeAdapter[datetime](Time)


_Steps = dict[str, "_Steps"]
"""Names of fields that a spelling leads to or through, with the names inside of each object."""

TOO_DEEP = FieldError("", "nested_too_deeply", f"is nested more than {DEEPEST} levels deep: flatten it")


class Texts(NamedTuple):
    """Good records as COPY text: lists of one length."""

    keys: list[str]
    contents: list[str]
    left_out: list[int]
    """The places in them of records of which only the models can tell."""


class Mapper:
    """Maps records of one dataset of one source. `columns` names the COPY columns, in the order of the line.

    Most records are ordinary and are mapped many at once, column by column (ordinary.py); the others one by one. Both ways
    give the same row.
    """

    dataset: str
    key_columns: tuple[str, ...]
    content_columns: tuple[str, ...]
    fields: tuple[str, ...]
    """Those of the model that have columns of their own. What else is sent is kept together."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """What some of them are where they are not sent; of all others that is null."""

    def __init__(self, source: Source, mapping_version: int = 0) -> None:
        """`mapping_version` becomes a part of each row. Rows of version 0 are not meant to be stored."""
        self.source = source
        self.mapping_version = mapping_version
        self.model = source.record(self.dataset)
        self._aliases = {name: aliases(name, field) for name, field in self.model.model_fields.items()}
        self._validate = self.model.__pydantic_validator__.validate_python
        self._nested: _Steps = {}
        for path in chain.from_iterable(self._aliases.values()):
            inner = self._nested
            for step in path if len(path) > 1 else ():
                inner = inner.setdefault(step, {})
        self._through_objects = [
            paths for paths in self._aliases.values() if any(path[0] in self._nested for path in paths)
        ]
        ordinary = FastPath(self.model, self._aliases, ("updated_at", *self.fields), self.defaults)
        self._fast_path = ordinary if ordinary.complete else None

    @property
    def columns(self) -> tuple[str, ...]:
        return (
            *self.key_columns,
            *("source", "source_updated_at", "object_modified_at", "object_id", "ordinal", "content_hash"),
            *self.content_columns,
        )

    def id_aliases(self) -> Collection[str]:
        """The names that a record's id may have."""
        return frozenset(path[0] for path in self._aliases["source_id"])

    def map(self, raw: RawRecord, ordinal: int, position: ObjectPosition, flaw: Flaw | None = None) -> Row | Bad:
        """The row, or what is wrong. Never raises for a bad record. `flaw` is what the decoder found."""
        if flaw is not None:
            return self._bad(raw, ordinal, position, [FieldError("", *flaw)], complete=flaw is not OVERSIZE)
        data = bytes(raw)
        fields = _fields(data, self._nested)
        if isinstance(fields, FieldError):
            return self._bad(raw, ordinal, position, [fields])
        try:
            record = self._validated(fields)
        except ValidationError as error:
            return self._bad(raw, ordinal, position, self._field_errors(error), fields, self._time_of_bad(fields))
        updated_at = position.modified_at if record.updated_at is None else record.updated_at
        errors = self._check(record)
        if updated_at > position.modified_at and updated_at > position.modified_at + FUTURE:
            errors.append(
                FieldError(
                    "updated_at", "in_future", "lies more than a day after the upload: correct the clock or the date"
                )
            )
        others = self._others(fields, record)
        for name, value in chain(record.__dict__.items(), others.items()):
            if type(value) not in _WITHOUT_NUMBERS and unstorable(value):
                errors.append(FieldError(name, *NUMBER_TOO_LARGE))
        if errors:
            return self._bad(raw, ordinal, position, errors, fields, updated_at)
        content = self._content(record, others)
        # NUL has no place in PostgreSQL's texts. The JSON columns would hold it as an escape.
        key = self._key(record)
        if ("\0" in key or "\0" in content or "\\u0000" in content) and (faulty := _nul_field(fields)):
            error = FieldError(faulty, "nul_character", "holds a NUL character (\\u0000): remove it")
            return self._bad(raw, ordinal, position, [error], fields, updated_at)
        (provenance,) = self._provenances(Chunk(ordinal, [data]), [0])
        line = (
            f"{self._key_line(record)}\t{self.source.name}\t{updated_at.isoformat()}\t{position.line}\t{ordinal}\t"
            f"{digest(content.encode())}\t{content}{provenance}"
        )
        return Row(key, updated_at, ordinal, line, record.__dict__)

    def map_all(self, chunk: Chunk, places: Sequence[int], position: ObjectPosition) -> Mapped:
        """What becomes of the records at these places of a chunk."""
        rows = Rows()
        others = places
        if self._fast_path is not None:
            flawless = [place for place in places if place not in chunk.flaws] if chunk.flaws else places
            for begin in range(0, len(flawless), TOGETHER):
                found = self._fast_path.read(chunk.records, flawless[begin : begin + TOGETHER])
                rows.extend(self._rows(found, chunk, position))
            if len(rows.keys) == len(places):
                return Mapped(rows, [])
            done = {ordinal - chunk.first_ordinal for ordinal in rows.ordinals}
            others = [place for place in places if place not in done]
        bad: list[Bad] = []
        for place in others:
            mapped = self.map(chunk.records[place], chunk.first_ordinal + place, position, chunk.flaws.get(place))
            if isinstance(mapped, Row):
                rows.append(mapped)
            else:
                bad.append(mapped)
        return Mapped(rows, bad)

    def _rows(self, found: FastColumns, chunk: Chunk, position: ObjectPosition) -> Rows:
        """The rows of good records, column by column; those of which only the models can tell are left out."""
        if not found.places:
            return Rows()
        here = (position.modified_at, position.modified_at.isoformat())
        times, time_texts = map(list, zip(*[time or here for time in found.columns[0]], strict=True))
        keys, contents, left_out = self._texts(found)
        tabs = len(self.key_columns) - 1
        left_out += where(not is_plain(keys, tabs), (not is_plain([key], tabs) for key in keys))
        left_out += where(max(times) > position.modified_at, (time > position.modified_at for time in times))
        ordinals = [chunk.first_ordinal + place for place in found.places]
        source, place_line = self.source.name, position.line
        lines = [
            f"{key}\t{source}\t{time}\t{place_line}\t{ordinal}\t{digest(content.encode())}\t{content}{provenance}"
            for key, time, ordinal, content, provenance in zip(
                keys, time_texts, ordinals, contents, self._provenances(chunk, found.places), strict=True
            )
        ]
        rows = Rows(keys, times, ordinals, lines)
        return rows.take(sorted({*range(len(keys))}.difference(left_out))) if left_out else rows

    def _validated(self, fields: dict[str, Any]) -> Any:
        try:
            return self._validate(fields)
        except ValidationError:
            # A blank counts as not sent: perhaps that is all that was wrong.
            filled = _filled(fields, self._nested, spaces=False)
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

    def _texts(self, found: FastColumns) -> Texts:
        """The same of many records, whose fields were read as columns."""
        raise NotImplementedError

    def _provenances(self, chunk: Chunk, places: Sequence[int]) -> Iterable[str]:  # noqa: ARG002 of entities only
        """What stands behind the contents of records, outside of their hash, as COPY text."""
        return [""] * len(places)

    # --- common parts

    def _canonical(self, source_id: str) -> str:
        return f"{self.source.name}_{source_id}"

    def _others(self, fields: dict[str, Any], record: Record) -> dict[str, Any]:
        """All that was sent and that no field of the model took."""
        others = record.__pydantic_extra__ or {}
        sent = {name: fields[name] for name in self._nested if name in fields}
        if not sent:
            return others
        taken = {path for paths in self._through_objects if (path := _first_sent(fields, paths))}
        flat = {name: value for name, value in others.items() if name not in sent}
        return {**flat, **_rest(sent, self._nested, taken, ())}

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
        told = [error._replace(field=error.field[:LONGEST_NAME]) for error in errors[:MOST_ERRORS]]
        return Bad(key, updated_at, ordinal, bytes(raw), complete, told)

    def _time_of_bad(self, fields: dict[str, Any]) -> datetime | None:
        try:
            return in_utc(_time.validate_python(self._sent("updated_at", fields)))
        except (ValidationError, OverflowError):
            return None

    def _sent(self, name: str, fields: dict[str, Any]) -> Any:
        """What a record has for a field, under the first spelling of it that is there; None if there is none."""
        value: Any = fields
        for step in _first_sent(fields, self._aliases[name]) or ():
            value = value[step]
        return None if value is fields else value

    def _key_of_bad(self, fields: dict[str, Any]) -> str | None:  # noqa: ARG002 only entities can tell
        return None

    def _field_errors(self, error: ValidationError) -> list[FieldError]:
        return [
            FieldError(
                ".".join(str(part) for part in detail["loc"]),
                detail["type"],
                _DATE.sub(_plain_date, detail["msg"]) + _HOW_TO_WRITE.get(detail["type"].split("_")[0], ""),
            )
            for detail in error.errors(include_url=False, include_context=False, include_input=False)
        ]


def where(any_is: bool, faults: Iterable[object]) -> list[int]:
    """The places of faults, if there are any at all."""
    return [place for place, fault in enumerate(faults) if fault] if any_is else []


def digest(content: bytes) -> str:
    """The first 128 bits of its SHA-256, in hex."""
    return hashlib.sha256(content).hexdigest()[:32]


def _fields(data: bytes, nested: _Steps) -> dict[str, Any] | FieldError:
    """What was sent, and not null or empty."""
    try:
        fields = _decoded(data)
    except UNREADABLE as error:
        return _syntax(error, data)
    if not isinstance(fields, dict):
        return FieldError("", "not_an_object", "a record is an object: {…}")
    if data.count(b"[") + data.count(b"{") > DEEPEST and depth(fields) > DEEPEST:
        return TOO_DEEP
    if b"null" in data or b'""' in data:
        return _filled(fields, nested)
    return fields


def _decoded(data: bytes) -> Any:
    try:
        return decode(data)
    except ArithmeticError:
        # Rare: the field of such a number is known only if the record is read in full.
        return decode_any_number(data)


def _filled(fields: dict[str, Any], nested: _Steps, *, spaces: bool = True) -> dict[str, Any]:
    """Leave out fields that are null or empty, also in the objects of `nested`. `spaces` fill a field."""
    return {
        name: _filled(value, nested[name], spaces=spaces) if nested.get(name) and isinstance(value, dict) else value
        for name, value in fields.items()
        if value is not None and value != "" and (spaces or not isinstance(value, str) or not value.isspace())
    }


def _first_sent(fields: dict[str, Any], paths: Sequence[Path]) -> Path | None:
    """The first of these paths that leads to a value."""
    for path in paths:
        value: Any = fields
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            return path
    return None


def _rest(fields: dict[str, Any], nested: _Steps, taken: Collection[Path], outer: Path) -> dict[str, Any]:
    """The fields without those at the `taken` paths. Objects of `nested` that have no other fields are left out."""
    rest: dict[str, Any] = {}
    for name, value in fields.items():
        path = (*outer, name)
        if path in taken:
            continue
        if (inner := nested.get(name)) and isinstance(value, dict):
            if others := _rest(value, inner, taken, path):
                rest[name] = others
        else:
            rest[name] = value
    return rest


def _plain_date(match: re.Match[str]) -> str:
    return date(*map(int, match.groups())).isoformat()


def _syntax(error: Exception, data: bytes) -> FieldError:
    if isinstance(error, RecursionError):
        return TOO_DEEP
    if isinstance(error, UnicodeDecodeError):
        return FieldError("", "bad_encoding", "not valid UTF-8: export the file as UTF-8")
    # The decoder tells it from the end of the data only at times.
    if ("truncated" in str(error) or "surrogate" in str(error)) and (lone := _LONE_SURROGATE.match(data)):
        half = lone[1].decode(errors="replace")
        return FieldError(
            "", "bad_json", f"not valid JSON: holds half a character ({half}, a lone surrogate): remove it"
        )
    return FieldError("", "bad_json", f"not valid JSON: {str(error).removeprefix('JSON is malformed: ')}")


def _nul_field(fields: dict[str, Any]) -> str | None:
    """The first field with a NUL character in it, at any depth."""

    def has_nul(value: Any) -> bool:
        if isinstance(value, str):
            return "\0" in value
        if isinstance(value, dict):
            return any("\0" in name or has_nul(item) for name, item in value.items())
        return isinstance(value, list) and any(map(has_nul, value))

    return next((name for name, value in fields.items() if "\0" in name or has_nul(value)), None)
