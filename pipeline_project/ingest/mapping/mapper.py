"""Maps the text of a record to a row of the canonical model, or to the list of its errors. Nothing here does I/O.

A row is a line for COPY. The line also has what is common to a whole object (its ID and time). So rows of several objects
can be staged together. The content hash is computed from the content columns of the line.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import chain
from types import NoneType
from typing import Any, NamedTuple, get_type_hints

from pydantic import TypeAdapter, ValidationError

from pipeline_project.ingest.decoding import (
    OVERSIZE,
    UNREADABLE,
    Chunk,
    FieldNames,
    Flaw,
    RawRecord,
    decode,
    decode_any_number,
)
from pipeline_project.ingest.mapping.column_counts import ColumnCounts, a_few, count_singly
from pipeline_project.ingest.mapping.copy_text import DEEPEST, depth, is_plain, unstorable
from pipeline_project.ingest.mapping.fast_path import FastColumns, FastPath, is_bounded_type
from pipeline_project.ingest.mapping.probe_keys import ProbeKeys, joined
from pipeline_project.ingest.mapping.rows import Bad, FieldError, Mapped, ObjectPosition, Row, Rows
from pipeline_project.ingest.mapping.struct_columns import Path
from pipeline_project.schema.dataset import Dataset
from pipeline_project.schema.fields import Declared, Role, Time, aliases, in_utc
from pipeline_project.schema.record import Record
from pipeline_project.sources.source import Source

FUTURE = timedelta(days=1)
"""A record may be this much newer than its object, since clocks differ. A time beyond would win over all later ones."""
TOGETHER = 500
"""Records that the fast path maps together. They fit in the cache of a core. With thousands, each takes a third longer."""

_WITHOUT_NUMBERS = frozenset({str, bool, NoneType})

MOST_ERRORS = 100
"""Most errors that a reject keeps. A record of 16 MB can have a million fields, and all can be wrong."""
LONGEST_NAME = 1_000
"""Most characters of a field's name that a reject keeps."""

NUMBER_TOO_LARGE = ("number_too_large", "holds a number that is too large or too small to be stored")
_HOW_TO_WRITE = {"date": ": write a day as 2024-12-31", "datetime": ": write a time as 2024-12-31T23:59:59Z"}
"""Advice that the messages of pydantic lack, by the first word of the rule."""

_DATE = re.compile(r"datetime\.date\((\d+), (\d+), (\d+)\)")
"""How pydantic writes a day that is a bound."""
_LONE_SURROGATE = re.compile(
    rb"(?:[^\\]++|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\(?!u[dD][89a-fA-F]).)*+(\\u[dD][89a-fA-F][0-9a-fA-F]{2})",
    re.DOTALL,
)
"""The first escape of a surrogate that has no partner."""

_time = TypeAdapter[datetime](Time)


_Steps = dict[str, "_Steps"]
"""Names on the paths of aliases that go into objects. Each name has the names inside its object."""

TOO_DEEP = FieldError("", "nested_too_deeply", f"is nested more than {DEEPEST} levels deep: flatten it")


class Texts(NamedTuple):
    """Valid records as COPY text: lists of one length."""

    keys: list[str]
    contents: list[str]
    left_out: list[int]
    """Places of records that only the models can judge."""


class Mapper:
    """Maps records of one dataset of one source. `columns` names the columns of COPY, in the order of the line.

    The fast path maps most records many at once, column by column. The others are mapped one by one. Both ways give the
    same row, and tests compare them. The fast path takes a fifth of the time.
    """

    def __init__(self, source: Source, dataset: Dataset, defaults: Mapping[str, Any], mapping_version: int = 0) -> None:
        """`defaults`: values of fields that a record does not send. All other fields are null then.

        `mapping_version` becomes a part of each row. Rows of version 0 are not meant to be stored.
        """
        self.mapping_version = mapping_version
        self.source = source
        self.dataset = dataset
        self.model = source.record(dataset.name)
        self.key_columns = tuple(column.name for column in dataset.key_columns)
        self.content_columns = tuple(column.name for column in dataset.content)
        self._read = ("updated_at", *dataset.fields)
        self._aliases = {name: aliases(name, field) for name, field in self.model.model_fields.items()}
        self._field_by_path = {path: name for name, paths in self._aliases.items() for path in paths}
        self._validate = self.model.__pydantic_validator__.validate_python
        self._nested: _Steps = {}
        for path in chain.from_iterable(self._aliases.values()):
            inner = self._nested
            for step in path if len(path) > 1 else ():
                inner = inner.setdefault(step, {})
        self._through_objects = [
            paths for paths in self._aliases.values() if any(path[0] in self._nested for path in paths)
        ]
        hints = get_type_hints(self.model, include_extras=True)
        self._unbounded = [name for name in self.model.model_fields if not is_bounded_type(hints[name])]
        ordinary = FastPath(self.model, self._aliases, self._read, defaults)
        self._fast_path = ordinary if ordinary.complete else None

    @property
    def columns(self) -> tuple[str, ...]:
        return (
            *self.key_columns,
            *("source", "source_updated_at", "object_modified_at", "object_id", "ordinal", "content_hash"),
            *self.content_columns,
        )

    def field_names(self) -> FieldNames:
        """Return the names that the fields of a record can have, as decoding needs them."""
        return FieldNames(
            ids=frozenset(path[0] for name in self._id_fields() for path in self._aliases[name]),
            fields={path[0]: name for name, paths in self._aliases.items() for path in paths},
            id_fields=frozenset(self._id_fields()).union(
                name
                for name in self.dataset.fields
                if name != "deleted" and Declared.of(self.dataset.record, name).role is not Role.VALUE
            ),
        )

    def map(self, raw: RawRecord, ordinal: int, position: ObjectPosition, flaw: Flaw | None = None) -> Row | Bad:
        """Map one record to its row or its errors. An invalid record never raises. `flaw` is what the decoder found."""
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
        self._complete(record)
        updated_at = position.modified_at if record.updated_at is None else record.updated_at
        errors = self._check(record)
        if updated_at > position.modified_at and updated_at > position.modified_at + FUTURE:
            errors.append(
                FieldError(
                    "updated_at", "in_future", "lies more than a day after the upload: correct the clock or the date"
                )
            )
        others = self._others(fields, record)
        for name in self._unbounded:
            if unstorable(record.__dict__[name]):
                errors.append(FieldError(name, *NUMBER_TOO_LARGE))
        for name, value in others.items():
            if type(value) not in _WITHOUT_NUMBERS and unstorable(value):
                errors.append(FieldError(name, *NUMBER_TOO_LARGE))
        if errors:
            return self._bad(raw, ordinal, position, errors, fields, updated_at)
        content = self._content(record, others)
        # Texts of PostgreSQL cannot hold a NUL. JSON would hold it as an escape.
        key, key_line = self._key(record)
        if ("\0" in key or "\0" in content or "\\u0000" in content) and (faulty := _nul_field(fields)):
            error = FieldError(faulty, "nul_character", "holds a NUL character (\\u0000): remove it")
            return self._bad(raw, ordinal, position, [error], fields, updated_at)
        line = (
            f"{key_line}\t{self.source.name}\t{updated_at.isoformat()}\t{position.line}\t{ordinal}\t"
            f"{digest(content.encode())}\t{content}{self._provenance(data)}"
        )
        return Row(key, updated_at, ordinal, line, record.__dict__)

    def map_all(self, chunk: Chunk, places: Sequence[int], position: ObjectPosition) -> Mapped:
        """Map the records at these places of a chunk: on the fast path if possible, otherwise one by one."""
        rows, counts = Rows(), ColumnCounts()
        decoded: set[int] = set()
        others = places
        if self._fast_path is not None:
            flawless = [place for place in places if place not in chunk.flaws] if chunk.flaws else places
            for begin in range(0, len(flawless), TOGETHER):
                found = self._fast_path.read(chunk.records, flawless[begin : begin + TOGETHER])
                rows.extend(self._rows(found, chunk, position))
                counts.add(found.counts)
                decoded.update(found.decoded)
            if len(rows.keys) == len(places):
                return Mapped(rows, [], counts)
            done = {ordinal - chunk.first_ordinal for ordinal in rows.ordinals}
            others = [place for place in places if place not in done]
        counts.add(self.look_at(chunk, a_few([place for place in others if place not in decoded])))
        bad: list[Bad] = []
        for place in others:
            mapped = self.map(chunk.records[place], chunk.first_ordinal + place, position, chunk.flaws.get(place))
            if isinstance(mapped, Row):
                rows.append(mapped)
            else:
                bad.append(mapped)
        return Mapped(rows, bad, counts)

    def look_at(self, chunk: Chunk, places: Sequence[int]) -> ColumnCounts:
        """Count the columns of records that are not on the fast path, or already stored."""
        return count_singly([chunk.records[place] for place in places if place not in chunk.flaws], self._nested)

    def field_of(self, path: Path) -> str | None:
        """Return the field of the model that a column is read as. None: the column becomes an attribute."""
        return self._field_by_path.get(path)

    def _rows(self, found: FastColumns, chunk: Chunk, position: ObjectPosition) -> Rows:
        """Make the rows of valid records, column by column. Records that only the models can judge are left out."""
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
                keys,
                time_texts,
                ordinals,
                contents,
                self._provenances([chunk.records[place] for place in found.places]),
                strict=True,
            )
        ]
        rows = Rows(keys, times, ordinals, lines)
        return rows.take(sorted({*range(len(keys))}.difference(left_out))) if left_out else rows

    def _validated(self, fields: dict[str, Any]) -> Any:
        try:
            return self._validate(fields)
        except ValidationError:
            # A text of spaces counts as not sent. Perhaps the record is valid without it.
            filled = _filled(fields, self._nested, spaces=False)
            if filled == fields:
                raise
            fields.clear()
            fields.update(filled)
            return self._validate(fields)

    # --- what datasets differ in

    def _id_fields(self) -> Collection[str]:
        """The fields whose names show that a line of a CSV file is its header."""
        raise NotImplementedError

    def _complete(self, record: Any) -> None:
        """Fill fields of a valid record that are made of several fields."""

    def _key(self, record: Any) -> tuple[str, str]:
        """Return the key that tells a row from others, and the key columns as COPY text."""
        raise NotImplementedError

    def _check(self, record: Any) -> list[FieldError]:
        """Return the errors of a valid model: rules beyond the types and bounds of single fields."""
        raise NotImplementedError

    def _content(self, record: Any, others: dict[str, Any]) -> str:
        """Return the content columns of a record as COPY text."""
        raise NotImplementedError

    def _texts(self, found: FastColumns) -> Texts:
        """Return keys and contents of many records, whose fields were read as columns."""
        raise NotImplementedError

    def _provenance(self, record: RawRecord) -> str:  # noqa: ARG002 of versioned datasets
        """Return what follows the content of a record, outside its hash, as COPY text."""
        return ""

    def _provenances(self, records: Sequence[RawRecord]) -> Iterable[str]:
        """Return the same of many records."""
        return [""] * len(records)

    def probe_keys(self, chunk: Chunk, position: ObjectPosition, object_place: int) -> ProbeKeys:  # noqa: ARG002
        """Return what tells whether records are already stored in this form. Only versioned datasets have it."""
        return joined([])

    def sums(self, chunk: Chunk, places: Sequence[int], position: ObjectPosition) -> dict[str, Decimal]:  # noqa: ARG002
        """Return the sums of valid records that there are control totals for. Only versioned datasets have any."""
        return {}

    # --- common parts

    def _canonical(self, source_id: str) -> str:
        return f"{self.source.name}_{source_id}"

    def _others(self, fields: dict[str, Any], record: Record) -> dict[str, Any]:
        """Return everything that was sent and that no field of the model took."""
        others = record.__pydantic_extra__ or {}
        if self._nested.keys().isdisjoint(fields):
            return others
        taken = {path for paths in self._through_objects if (path := _first_sent(fields, paths))}
        rest = dict(others)
        _keep_rest(rest, fields, self._nested, taken, ())
        return rest

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
        # With a wrong time in the future, the corrected row could never be newer.
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
        """Return what a record sends for a field, under its first alias that has a value. None if no alias has one."""
        value: Any = fields
        for step in _first_sent(fields, self._aliases[name]) or ():
            value = value[step]
        return None if value is fields else value

    def _key_of_bad(self, fields: dict[str, Any]) -> str | None:
        """Return the key of an invalid record, if it can be read."""
        raise NotImplementedError

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
    """Return the places of faults. `any_is` is a cheap test whether there can be any."""
    return [place for place, fault in enumerate(faults) if fault] if any_is else []


def digest(content: bytes) -> str:
    """Return the first 128 bits of the SHA-256, in hex.

    Empty columns at the end do not count: a column that is added after all others leaves the hashes of stored rows as they are.
    """
    return hashlib.sha256(content.rstrip(b"\t")).hexdigest()[:32]


def _fields(data: bytes, nested: _Steps) -> dict[str, Any] | FieldError:
    """Decode a record. Fields that are null or empty are left out."""
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
        # This is rare. The field of such a number is known only if the record is decoded in full.
        return decode_any_number(data)


def _filled(fields: dict[str, Any], nested: _Steps, *, spaces: bool = True) -> dict[str, Any]:
    """Leave out fields that are null or empty, also in objects of `nested`. With `spaces`, a text of spaces stays."""
    return {
        name: _filled(value, nested[name], spaces=spaces) if nested.get(name) and isinstance(value, dict) else value
        for name, value in fields.items()
        if value is not None and value != "" and (spaces or not isinstance(value, str) or not value.isspace())
    }


def _first_sent(fields: dict[str, Any], paths: Sequence[Path]) -> Path | None:
    """Return the first of these paths that leads to a value."""
    for path in paths:
        value: Any = fields
        for step in path:
            value = value.get(step) if type(value) is dict else None
        if value is not None:
            return path
    return None


def _keep_rest(
    rest: dict[str, Any], fields: dict[str, Any], nested: _Steps, taken: Collection[Path], outer: Path
) -> None:
    """Put into `rest` what fields of `nested` hold beside the `taken` paths. An object without anything else is left out."""
    for name, inner in nested.items():
        if name not in fields:
            continue
        rest.pop(name, None)
        value, path = fields[name], (*outer, name)
        if path in taken:
            continue
        if inner and type(value) is dict:
            others = dict(value)
            _keep_rest(others, value, inner, taken, path)
            if others:
                rest[name] = others
        else:
            rest[name] = value


def _plain_date(match: re.Match[str]) -> str:
    return date(*map(int, match.groups())).isoformat()


def _syntax(error: Exception, data: bytes) -> FieldError:
    if isinstance(error, RecursionError):
        return TOO_DEEP
    if isinstance(error, UnicodeDecodeError):
        return FieldError("", "bad_encoding", "not valid UTF-8: export the file as UTF-8")
    # The decoder does not always distinguish this from truncated data.
    if ("truncated" in str(error) or "surrogate" in str(error)) and (lone := _LONE_SURROGATE.match(data)):
        half = lone[1].decode(errors="replace")
        return FieldError(
            "", "bad_json", f"not valid JSON: holds half a character ({half}, a lone surrogate): remove it"
        )
    return FieldError("", "bad_json", f"not valid JSON: {str(error).removeprefix('JSON is malformed: ')}")


def _nul_field(fields: dict[str, Any]) -> str | None:
    """Return the first field that has a NUL character, at any depth."""

    def has_nul(value: Any) -> bool:
        if isinstance(value, str):
            return "\0" in value
        if isinstance(value, dict):
            return any("\0" in name or has_nul(item) for name, item in value.items())
        return isinstance(value, list) and any(map(has_nul, value))

    return next((name for name, value in fields.items() if "\0" in name or has_nul(value)), None)
