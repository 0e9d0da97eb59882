"""Maps the text of a record to a row of the canonical model, or to the list of its errors. Nothing here does I/O.

A row is a line for COPY. The line also has what is common to a whole object (its ID and time). So rows of several objects
can be staged together. The content hash is computed from the content columns of the line.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
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
from pipeline_project.ingest.mapping.column_readers import is_bounded_type
from pipeline_project.ingest.mapping.copy_text import DEEPEST, depth, is_plain, unstorable
from pipeline_project.ingest.mapping.fast_path import FastColumns, FastPath
from pipeline_project.ingest.mapping.probe_keys import ProbeKeys, joined
from pipeline_project.ingest.mapping.reading import UNREAD_ATTRIBUTE, Converted, Reading, first_sent
from pipeline_project.ingest.mapping.rows import (
    Bad,
    ColumnsSeen,
    FieldError,
    Findings,
    Mapped,
    ObjectPosition,
    Row,
    Rows,
)
from pipeline_project.ingest.mapping.struct_columns import Path
from pipeline_project.schema.dataset import Dataset
from pipeline_project.schema.fields import Declared, Role, Time, aliases, in_utc
from pipeline_project.schema.record import Record
from pipeline_project.sources.dialect import Dialect
from pipeline_project.sources.source import Source

FUTURE = timedelta(days=1)
"""A record may be this much newer than its object, since clocks differ. A time beyond would win over all later ones."""
TOGETHER = 500
"""Records that the fast path maps together. They fit in the cache of a core. With thousands, each takes a third longer."""

AGAIN = b"again"
"""The mark of a record that has to be mapped each time, since its file is judged by its values. No probe key has it."""
RENAMED = b"renamed"
"""The mark of a record whose ID or time has a variant of an alias as name. A probe that overlooks it finds no record."""

_WITHOUT_NUMBERS = frozenset({str, bool, NoneType})

MOST_ERRORS = 100
"""Most errors that a reject keeps. A record of 16 MB can have a million fields, and all can be wrong."""
LONGEST_NAME = 1_000
"""Most characters of a field's name that a reject keeps."""

NUMBER_TOO_LARGE = ("number_too_large", "holds a number that is too large or too small to be stored")
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

    def __init__(
        self,
        source: Source,
        dataset: Dataset,
        defaults: Mapping[str, Any],
        mapping_version: int = 0,
        dialect: Dialect | None = None,
        *,
        cells: bool = False,
    ) -> None:
        """`defaults`: values of fields that a record does not send. All other fields are null then.

        `mapping_version` becomes a part of each row. Rows of version 0 are not meant to be stored. `dialect` says how the
        values are written. None: as in objects that fit no variant. `cells`: see Reading.
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
        usual = source.dialect_of(dataset.name, "")
        self.dialect = usual if dialect is None else dialect
        self.reading = Reading(self.model, dataset, self.dialect, cells=cells)
        # Equal texts can mean different things in cells and in another variant.
        self._way = f"{'cells ' if cells else ''}{'' if self.dialect == usual else self.dialect!r}"
        hints = get_type_hints(self.model, include_extras=True)
        self._unbounded = [name for name in self.model.model_fields if not is_bounded_type(hints[name])]
        ordinary = FastPath(self.model, self._aliases, self._read, defaults, self.reading)
        self._fast_path = ordinary if ordinary.complete else None

    probed: Collection[str] = ()
    """The fields that a probe key has."""

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
        read = self.reading.record(fields)
        record, errors = self._validated(read)
        if record is None:
            return self._bad(raw, ordinal, position, errors, read, self._time_of_bad(fields))
        record.__dict__["deleted"] |= read.deleted
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
        if read.kept:
            others = {**others, **read.kept}
        if read.findings.unread:
            others = {**others, UNREAD_ATTRIBUTE: {each.field: _text(each.value) for each in read.findings.unread}}
        for name in self._unbounded:
            if unstorable(record.__dict__[name]):
                errors.append(FieldError(name, *NUMBER_TOO_LARGE))
        for name, value in others.items():
            if type(value) not in _WITHOUT_NUMBERS and unstorable(value):
                errors.append(FieldError(name, *NUMBER_TOO_LARGE))
        if errors:
            return self._bad(raw, ordinal, position, errors, read, updated_at)
        content = self._content(record, others)
        # Texts of PostgreSQL cannot hold a NUL. JSON would hold it as an escape.
        key, key_line = self._key(record)
        if ("\0" in key or "\0" in content or "\\u0000" in content) and (faulty := _nul_field(fields)):
            error = FieldError(faulty, "nul_character", "holds a NUL character (\\u0000): remove it")
            return self._bad(raw, ordinal, position, [error], read, updated_at)
        left_out = [each.field for each in read.findings.unread]
        line = (
            f"{key_line}\t{self.source.name}\t{updated_at.isoformat()}\t{position.line}\t{ordinal}\t"
            f"{digest(content.encode())}\t{content}{self._provenance(data, self._mark(read.findings), left_out)}"
        )
        sent = record.model_fields_set - (record.__pydantic_extra__ or {}).keys()
        return Row(key, updated_at, ordinal, line, record.__dict__, sent, read.findings)

    def map_all(self, chunk: Chunk, places: Sequence[int], position: ObjectPosition) -> Mapped:
        """Map the records at these places of a chunk: on the fast path if possible, otherwise one by one."""
        unread: list[Bad] = []
        mapped = Mapped(Rows(), [], ColumnCounts(), unread, ColumnsSeen())
        decoded: set[int] = set()
        others = places
        if self._fast_path is not None:
            flawless = [place for place in places if place not in chunk.flaws] if chunk.flaws else places
            for begin in range(0, len(flawless), TOGETHER):
                decoded.update(self._map_together(chunk, flawless[begin : begin + TOGETHER], position, mapped))
            self._note_variants(mapped.seen.renamed)
            if len(mapped.rows.keys) == len(places):
                return mapped
            done = {ordinal - chunk.first_ordinal for ordinal in mapped.rows.ordinals}
            others = [place for place in places if place not in done]
        mapped.counts.add(self.look_at(chunk, a_few([place for place in others if place not in decoded])))
        for place in others:
            ordinal = chunk.first_ordinal + place
            each = self.map(chunk.records[place], ordinal, position, chunk.flaws.get(place))
            if isinstance(each, Bad):
                mapped.seen.add_record(ordinal, each.findings)
                mapped.bad.append(each)
                continue
            mapped.seen.add_row(ordinal, each.findings, each.sent)
            mapped.rows.append(each)
            if each.findings.unread:
                errors = [unread.error for unread in each.findings.unread]
                raw = bytes(chunk.records[place])
                unread.append(Bad(each.key, each.updated_at, ordinal, raw, True, errors, kind="field"))
        return mapped

    def look_at(self, chunk: Chunk, places: Sequence[int]) -> ColumnCounts:
        """Count the columns of records that are not on the fast path, or already stored."""
        return count_singly([chunk.records[place] for place in places if place not in chunk.flaws], self._nested)

    def fields_of(self, columns: Sequence[Path]) -> list[str | None]:
        """Return the field that each column is read as. None: the column becomes an attribute.

        A variant of an alias counts if no column has the alias itself, and if no other column is a variant of it.
        """
        fields = [self._field_by_path.get(path) for path in columns]
        variants: dict[str, list[int]] = {}
        for place, path in enumerate(columns):
            if fields[place] is None and len(path) == 1:
                if found := self.reading.alias(path[0]):
                    variants.setdefault(found[0].name, []).append(place)
                elif self.reading.marks_deleted(path[0]):
                    fields[place] = "deleted"
        for name, places in variants.items():
            if len(places) == 1 and name not in fields:
                fields[places[0]] = name
        return fields

    def _map_together(
        self, chunk: Chunk, places: Sequence[int], position: ObjectPosition, mapped: Mapped
    ) -> Sequence[int]:
        """Map records on the fast path, as far as it can read them. A second, thorough attempt reads most others.

        Return the places of the records that could be decoded.
        """
        assert self._fast_path is not None  # noqa: S101 the caller checked it
        found = self._fast_path.read(chunk.records, places)
        mapped.counts.add(found.counts)
        done = self._add_rows(found, chunk, position, mapped)
        if len(done) < len(places):
            left = [place for place in places if place not in done]
            self._add_rows(self._fast_path.read(chunk.records, left, thorough=True), chunk, position, mapped)
        return found.decoded

    def _add_rows(self, found: FastColumns, chunk: Chunk, position: ObjectPosition, mapped: Mapped) -> set[int]:
        """Add the rows of the fast path to what was mapped. Return the places of their records."""
        rows = self._rows(found, chunk, position)
        found.note(mapped.seen, chunk.first_ordinal, rows.ordinals)
        mapped.rows.extend(rows)
        return {ordinal - chunk.first_ordinal for ordinal in rows.ordinals}

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
                self._provenances([chunk.records[place] for place in found.places], self._marks(found)),
                strict=True,
            )
        ]
        rows = Rows(keys, times, ordinals, lines)
        return rows.take(sorted({*range(len(keys))}.difference(left_out))) if left_out else rows

    def _validated(self, read: Converted) -> tuple[Any, list[FieldError]]:
        """Return the model of a record, or None and its errors. Optional values that are not valid are left out."""
        if read.errors:
            return None, read.errors
        fields = read.fields
        try:
            return self._validate(fields), []
        except ValidationError as error:
            failed = error
        # A text of spaces counts as not sent. Perhaps the record is valid without it.
        filled = _filled(fields, self._nested, spaces=False)
        if filled != fields:
            fields.clear()
            fields.update(filled)
            try:
                return self._validate(fields), []
            except ValidationError as error:
                failed = error
        if not self.reading.leave_out(read, failed):
            return None, self.reading.errors(read, failed)
        try:
            return self._validate(fields), []
        except ValidationError as error:
            return None, self.reading.errors(read, error)

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

    def _provenance(self, record: RawRecord, mark: bytes, left_out: Collection[str] = ()) -> str:  # noqa: ARG002 of versioned datasets
        """Return what follows the content of a record, outside its hash, as COPY text.

        The mark is a part of the digest. `left_out`: fields whose value could not be read.
        """
        return ""

    def _provenances(self, records: Sequence[RawRecord], marks: Sequence[bytes]) -> Iterable[str]:  # noqa: ARG002
        """Return the same of many records."""
        return [""] * len(records)

    def _note_variants(self, renamed: Mapping[str, str]) -> None:
        """Note names that are variants of aliases, and the fields that they mean."""

    def probe_keys(self, chunk: Chunk, position: ObjectPosition, object_place: int) -> ProbeKeys:  # noqa: ARG002
        """Return what tells whether records are already stored in this form. Only versioned datasets have it."""
        return joined([])

    def sums(self, chunk: Chunk, places: Sequence[int], position: ObjectPosition) -> dict[str, Decimal]:  # noqa: ARG002
        """Return the sums of valid records that there are control totals for. Only versioned datasets have any."""
        return {}

    # --- common parts

    def _mark(self, findings: Findings) -> bytes:
        """Return the mark of a record for its digest."""
        if findings.need_mapping:
            return AGAIN
        return b"" if not findings.renamed or {*self.probed}.isdisjoint(findings.renamed.values()) else RENAMED

    def _marks(self, found: FastColumns) -> Sequence[bytes]:
        """Return the marks of the records that were read on the fast path."""
        renamed = {i for name in self.probed for i in found.from_variants.get(name, ())}
        if not found.doubtful and not renamed:
            return [b""] * len(found.places)
        return [AGAIN if i in found.doubtful else RENAMED if i in renamed else b"" for i in found.places]

    def _canonical(self, source_id: str) -> str:
        return f"{self.source.name}_{source_id}"

    def _others(self, fields: dict[str, Any], record: Record) -> dict[str, Any]:
        """Return everything that was sent and that no field of the model took."""
        others = record.__pydantic_extra__ or {}
        if self._nested.keys().isdisjoint(fields):
            return others
        taken = {path for paths in self._through_objects if (path := first_sent(fields, paths))}
        rest = dict(others)
        _keep_rest(rest, fields, self._nested, taken, ())
        return rest

    def _bad(
        self,
        raw: RawRecord,
        ordinal: int,
        position: ObjectPosition,
        errors: list[FieldError],
        read: Converted | None = None,
        updated_at: datetime | None = None,
        *,
        complete: bool = True,
    ) -> Bad:
        key = self._key_of_bad(read.fields) if read is not None and read.fields else None
        # With a wrong time in the future, the corrected row could never be newer.
        if updated_at is None or updated_at > position.modified_at + FUTURE:
            updated_at = position.modified_at
        findings = Findings() if read is None else read.findings
        errors = [*errors, *(each.error for each in findings.unread)]
        told = [error._replace(field=error.field[:LONGEST_NAME]) for error in errors[:MOST_ERRORS]]
        return Bad(key, updated_at, ordinal, bytes(raw), complete, told, findings=findings)

    def _time_of_bad(self, fields: dict[str, Any]) -> datetime | None:
        try:
            return in_utc(_time.validate_python(self._sent("updated_at", fields)))
        except (ValidationError, OverflowError):
            return None

    def _sent(self, name: str, fields: dict[str, Any]) -> Any:
        """Return what a record sends for a field, under its first alias that has a value. None if no alias has one."""
        value: Any = fields
        for step in first_sent(fields, self._aliases[name]) or ():
            value = value[step]
        return None if value is fields else value

    def _key_of_bad(self, fields: dict[str, Any]) -> str | None:
        """Return the key of an invalid record, if it can be read."""
        raise NotImplementedError


def _text(value: Any) -> Any:
    """Return a value as it was sent, or the beginning of its text if it has a number that cannot be stored."""
    return str(value)[:LONGEST_NAME] if unstorable(value) else value


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
