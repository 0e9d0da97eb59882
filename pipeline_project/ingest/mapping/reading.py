"""The reading of a source's values: one converter for each field, compiled from the record model and the dialect.

One reading serves the fast path, single records, probe keys and control totals. Otherwise the IDs and positions that these
give would differ. The text of a record and its digest stay as they were sent.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline_project.ingest.decoding import RawRecord
from pipeline_project.ingest.mapping.converters import (
    NULL_TEXTS,
    NULL_TEXTS_OF_CELLS,
    UNREAD,
    Column,
    Convert,
    Converter,
    FlagFormat,
    IdFormat,
    NumberFormat,
    Single,
    TimeFormat,
    each_value,
    fitting_formats,
    id_error,
    is_zero,
    iso_time,
    normal_form,
    normal_form_of,
    proposals,
    unwrapped,
)
from pipeline_project.ingest.mapping.rows import Doubt, FieldError, Findings, UnreadValue
from pipeline_project.schema.dataset import Dataset
from pipeline_project.schema.fields import Declared, Id, Role, aliases
from pipeline_project.schema.names import folded
from pipeline_project.schema.numbers import plain_number
from pipeline_project.schema.record import DELETED, Record
from pipeline_project.sources.dialect import Dialect, FieldFormat

Path = tuple[str, ...]
Kind = Literal["number", "day", "time", "flag", "id", "text", "other"]

DELETED_IF_FILLED = ("deleted_at",)
"""Fields that mark a deleted record if they have a value, unless the dialect names others."""
UNREAD_ATTRIBUTE = "_unread"
"""The attribute that keeps the values that could not be read, by field."""

NOT_AS_DECLARED = "not_as_declared"
"""The rule of a value that is not written in the declared format."""

_DATE = re.compile(r"datetime\.date\((\d+), (\d+), (\d+)\)")
"""How pydantic writes a day that is a bound."""
_BASES: tuple[tuple[type, Kind], ...] = (
    (bool, "flag"),
    (int, "number"),
    (float, "number"),
    (Decimal, "number"),
    (datetime, "time"),
    (date, "day"),
    (str, "text"),
)
_NUMBER_SETTINGS = ("decimal", "group", "trailing_minus", "parentheses", "currency", "percent")
_FLAGS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}
"""Texts that the models read as a flag, in any case of letters."""
_MOST_PROPOSED = 3
_DELETION_HINTS = frozenset(
    {"archived", "isarchived", "active", "isactive", "inactive", "isinactive", "loevm", "removed", "isremoved"}
    | {"archivedat", "removedat", "statecode"}
)
"""Folded names of columns that are often a deletion flag, and as often something else."""

DOUBTFUL = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")
"""A number with a point that can be a decimal mark or can separate groups: 12.500 is 12.5 or 12500."""
SETTLING = re.compile(r"[+-]?(?:[0-9]{4,}\.[0-9]+|0[0-9]*\.[0-9]+|\.[0-9]+|[0-9]+\.(?:[0-9]{1,2}|[0-9]{4,}))")
"""A number whose point can only be a decimal mark. One of them settles what the others of its column mean."""
_DOUBTFUL_HINT = re.compile(r"\.[0-9]{3}\n")
_SETTLING_LINE = re.compile(rf"(?m)^{SETTLING.pattern}$")


@dataclass
class Converted:
    """One record after conversion. The models read `fields`."""

    fields: dict[str, Any]
    findings: Findings = field(default_factory=Findings)
    errors: list[FieldError] = field(default_factory=list)
    """Errors that cost the record."""
    kept: dict[str, Any] = field(default_factory=dict)
    """Values that no field takes, although their names fit one."""
    sent_as: dict[str, str] = field(default_factory=dict)
    """Alias -> the name under which the value was sent, where the names differ."""
    deleted: bool = False
    """True if a field is filled that marks a deleted record."""


class FieldReading:
    """Reads the values of one field."""

    def __init__(self, name: str, paths: Sequence[Path], kind: Kind, dialect: Dialect, *, lenient: bool) -> None:
        self.name, self.paths, self.kind = name, tuple(paths), kind
        self.lenient = lenient
        """True if a value that cannot be read costs the field and not the record."""
        self.format = dialect.format_of([name, *(".".join(path) for path in paths), *(path[-1] for path in paths)])
        self.nulls = NULL_TEXTS | frozenset(self.format.null_texts or ())
        """Texts that count as not sent, unless the field is a text."""
        self.skips_zero_days = kind in ("day", "time") and self.format.zero_days != "reject"
        converter = _converter(kind, self.format)
        self.is_declared = converter is not None and (not isinstance(converter, FlagFormat) or converter.is_declared)
        """True if the dialect says how the values are written."""
        self.convert: Convert | None = None
        """Converts columns. None: columns stay as they are."""
        self.single: Single = self._usual
        """Converts single values in the same way."""
        if kind == "text":
            self.convert, self.single = normal_form, normal_form_of
        elif kind == "id":
            own = IdFormat(dialect)
            self.convert, self.single = own, own.single
        elif converter is not None:
            self._nulls_are_unread = all(converter.single(text) is UNREAD for text in self.nulls)
            self.convert, self.single = partial(self._without_nulls, converter), converter.single
        self.is_judged = kind == "number" and not self.is_declared
        """True if a point in its texts can be doubtful."""

    def thorough(self, values: Column) -> Column:
        """Convert a column of a field without a declared format, as single values are converted."""
        return each_value(self._usual, self._nulls_left_out(values))

    def is_null(self, value: Any) -> bool:
        """Return whether a value counts as not sent. Texts and IDs have their own rules."""
        if type(value) is not str or self.kind in ("id", "text", "other"):
            return False
        text = value.strip()
        return text in self.nulls or (self.skips_zero_days and is_zero(text))

    def _without_nulls(self, convert: Converter, values: Column) -> Column:
        # Most columns have no such text, and looking for one takes as long as the conversion.
        if self._nulls_are_unread and (texts := convert.together(values)) is not None:
            return texts
        return convert(self._nulls_left_out(values))

    def _nulls_left_out(self, values: Column) -> Column:
        try:
            if self.nulls.isdisjoint(values):
                return values
        except TypeError:  # an object or an array
            pass
        return ["" if self.is_null(value) else value for value in values]

    def _usual(self, value: Any) -> Any:
        """Convert a value without a declared format."""
        if self.kind not in ("time", "day") or type(value) is not str:
            return value
        text = value.strip()
        if self.skips_zero_days and is_zero(text):
            return ""
        read = iso_time(text)
        return value if read == text else read

    def error(self, name: str, value: Any, rule: str, message: str) -> FieldError:
        """Return the error of a value that could not be read. It proposes the settings that would read the value."""
        if type(value) is not str or not _is_about_format(rule) or self.kind not in _EXAMPLES:
            return FieldError(name, rule, message)
        if self.kind == "number" and not self.is_declared and plain_number(value.strip()) is not None:
            return FieldError(name, rule, message)  # a fraction where a whole number belongs
        shown = f'"{value.strip()[:50]}"'
        if self.is_declared:
            return FieldError(name, NOT_AS_DECLARED, f"{shown} is not written as declared: {self.declared}.")
        if self.kind == "number":
            found = [*proposals(value)][:_MOST_PROPOSED]
            is_no = "is not a plain number"
        else:
            setting = "days" if self.kind == "day" else "times"
            formats = fitting_formats(value, days_only=self.kind == "day")[:_MOST_PROPOSED]
            found = [f'{setting} = ["{each}"]' for each in formats]
            is_no = f"is not a {self.kind} of ISO 8601"
        if not found:
            return FieldError(name, rule, f"{shown} {is_no}: {_EXAMPLES[self.kind]}")
        return FieldError(
            name, rule, f"{shown} {is_no}. Declare {' or '.join(found)} under [dialect], or {_EXAMPLES[self.kind]}"
        )

    @property
    def declared(self) -> str:
        """The settings of this field, as TOML spells them."""
        names = _NUMBER_SETTINGS if self.kind == "number" else ("days", "times", "zone", "doubtful")
        found = {name: value for name in names if (value := getattr(self.format, name)) is not None}
        return ", ".join(f"{name} = {msgspec.json.encode(value).decode()}" for name, value in found.items())


def _is_about_format(rule: str) -> bool:
    """Return whether a rule of the models is about how a value is written, and not about its bounds."""
    return rule in (NOT_AS_DECLARED, "not_a_plain_number", "not_a_day", "not_a_time") or rule.endswith("_parsing")


_EXAMPLES = {
    "number": "send digits with an optional decimal point, for example 1200.50",
    "day": "write a day as 2024-12-31",
    "time": "write a time as 2024-12-31T23:59:59Z",
}


class Reading:
    """Reads the values of the records of one dataset of a source, in one dialect.

    `cells`: the values are cells of a CSV file or of a sheet, so all of them are texts.
    """

    def __init__(self, model: type[Record], dataset: Dataset, dialect: Dialect, *, cells: bool) -> None:
        self.cells = cells
        hints = get_type_hints(model, include_extras=True)
        lenient = _lenient(model, dataset) if dialect.bad_field != "reject_record" else set[str]()
        self.fields = {
            name: FieldReading(name, aliases(name, each), _kind(hints[name]), dialect, lenient=name in lenient)
            for name, each in model.model_fields.items()
        }
        paths = [path for each in self.fields.values() for path in each.paths]
        self._exact = {path[0] for path in paths}
        self._of_path = {path: each for each in self.fields.values() for path in each.paths}
        self._by_fold = _folds(self.fields.values())
        self._soft_deleted = (
            frozenset(DELETED[1:])
            if not self.fields["deleted"].is_declared
            and self.fields["deleted"].paths == tuple((name,) for name in DELETED)
            else frozenset[str]()
        )
        marks = DELETED_IF_FILLED if dialect.deleted_if_filled is None else dialect.deleted_if_filled
        self._marks_deleted = frozenset(map(folded, marks))
        self._ids = frozenset(path for each in self.fields.values() if each.kind == "id" for path in each.paths)
        usual = frozenset(dialect.null_texts) if dialect.null_texts is not None else NULL_TEXTS_OF_CELLS
        self._nulls_in_texts = usual if cells or dialect.null_texts_in_json else frozenset[str]()
        self._nulls_of = {
            name: frozenset(each.null_texts)
            for name, each in dialect.fields.items()
            if each.null_texts is not None and (cells or dialect.null_texts_in_json)
        }
        nulls = self._nulls_in_texts.union(*self._nulls_of.values())
        # As the decoder of cells writes them, up to the last quote. Looking for them in the raw records is cheaper than in
        # each column, and most of them have a rare character, which is found even faster.
        signs = [*(['"=\\'] if cells else []), *(msgspec.json.encode(text).decode()[:-1] for text in sorted(nulls))]
        self._signs = [(_rare(sign), sign.encode()) for sign in signs]

    def alias(self, name: str) -> tuple[FieldReading, Path] | None:
        """Return the field that a name means although no alias is written so, and the alias that it is a variant of."""
        return None if name in self._exact else self._by_fold.get(folded(name))

    def marks_deleted(self, name: str) -> bool:
        """Return whether a value under this name marks a deleted record."""
        return folded(name) in self._marks_deleted

    def looks_like_deletion(self, name: str) -> bool:
        """Return whether a column that no field reads is probably a deletion flag of this source."""
        return folded(name) in _DELETION_HINTS and not self.marks_deleted(name)

    # --- cells

    def has_signs(self, records: Iterable[RawRecord]) -> bool:
        """Return whether records may have texts that stand for no value, or formulas of a spreadsheet."""
        if not self._signs:
            return False
        if not self.cells:
            return True
        joined = b"".join(records)
        return any(rare in joined and sign in joined for rare, sign in self._signs)

    def text(self, name: str, value: Any) -> Any:
        """Return a cell without the formula around it. An empty text if it stands for no value."""
        if type(value) is not str:
            return value
        if self.cells and value.startswith('="'):
            value = unwrapped(value)
        if value in self._nulls_of.get(name, self._nulls_in_texts) and (name,) not in self._ids:
            return ""
        return value

    def texts(self, name: str, values: Column) -> Column:
        """Return a column of cells in the same way."""
        return [self.text(name, value) for value in values]

    # --- single records

    def record(self, fields: dict[str, Any]) -> Converted:
        """Convert one record. `fields` has no missing values, and is changed."""
        done = Converted(fields)
        if self._signs:
            for name, value in list(fields.items()):
                text = self.text(name, value)
                if text == "":
                    del fields[name]
                    done.findings.nulls += 1
                elif text is not value:
                    fields[name] = text
        self._rename(done)
        for each in self.fields.values():
            self._convert(each, done)
        self._note_deletion(done)
        return done

    def leave_out(self, read: Converted, failed: ValidationError) -> bool:
        """Leave out the values that the models refuse. Return whether the record can be loaded without all of them."""
        found: list[tuple[UnreadValue, Path]] = []
        for detail in _details(failed):
            field_and_path = self._field_at(detail["loc"])
            if field_and_path is None or not field_and_path[0].lenient:
                return False
            each, path = field_and_path
            value = _parent(read.fields, path)[path[-1]]
            if all(path != other for _, other in found):
                found.append((UnreadValue(each.name, value, self._error(read, detail)), path))
        for unread, path in found:
            del _parent(read.fields, path)[path[-1]]
            read.findings.unread.append(unread)
        return True

    def errors(self, read: Converted, failed: ValidationError) -> list[FieldError]:
        """Return the errors of a record that the models refuse."""
        return [self._error(read, detail) for detail in _details(failed)]

    def _error(self, read: Converted, detail: ErrorDetails) -> FieldError:
        name = ".".join(str(part) for part in detail["loc"])
        rule = detail["type"]
        message = _DATE.sub(_plain_date, detail["msg"])
        found = self._field_at(detail["loc"])
        if found is None:
            return FieldError(name, rule, message)
        each, path = found
        if name == path[0]:
            name = read.sent_as.get(name, name)
        parent = _parent(read.fields, path)
        return (
            each.error(name, parent.get(path[-1]), rule, message)
            if type(parent) is dict
            else FieldError(name, rule, message)
        )

    def _field_at(self, location: Sequence[Any]) -> tuple[FieldReading, Path] | None:
        """Return the field that an error of the models is about, and the path of its value."""
        for length in range(len(location), 0, -1):
            path = tuple(map(str, location[:length]))
            if path in self._of_path:
                return self._of_path[path], path
        return None

    def _rename(self, done: Converted) -> None:
        """Move values whose names are variants of an alias to that alias."""
        found: dict[str, dict[Path, list[str]]] = {}
        for name in done.fields:
            if (meant := self.alias(name)) is not None:
                found.setdefault(meant[0].name, {}).setdefault(meant[1], []).append(name)
        for field_name, variants in found.items():
            each = self.fields[field_name]
            if first_sent(done.fields, each.paths) is not None:
                continue
            # The preferred alias first. Two variants of one alias contradict each other, so they stay what they are.
            for path in each.paths:
                names = variants.get(path, [])
                if len(names) == 1:
                    done.fields[path[0]] = done.fields.pop(names[0])
                    done.sent_as[path[0]] = names[0]
                    done.findings.renamed[names[0]] = field_name
                    break

    def _convert(self, each: FieldReading, done: Converted) -> None:
        while (path := first_sent(done.fields, each.paths)) is not None:
            inner = _parent(done.fields, path)
            value = inner[path[-1]]
            if each.is_null(value):
                del inner[path[-1]]
                done.findings.nulls += 1
                continue
            if each.name == "deleted" and path[0] in self._soft_deleted and flag_of(value) is None:
                name = done.sent_as.get(path[0], path[0])
                done.kept[name] = inner.pop(path[-1])
                done.findings.no_flags.add(name)
                continue
            name = done.sent_as.get(path[0], ".".join(path))
            if each.is_judged:
                _judge(each.name, name, value, done)
            converted = each.single(value)
            if converted is UNREAD:
                error = each.error(name, value, NOT_AS_DECLARED, "is not written as declared")
                del inner[path[-1]]
                if each.lenient:
                    done.findings.unread.append(UnreadValue(each.name, value, error))
                else:
                    done.errors.append(error)
            elif each.kind == "id" and (wrong := id_error(converted)) is not None:
                done.errors.append(FieldError(name, *wrong))
                inner[path[-1]] = converted
            elif converted == "":
                del inner[path[-1]]
                continue
            elif converted is not value:
                inner[path[-1]] = converted
            return

    def _note_deletion(self, done: Converted) -> None:
        marks = [name for name, value in done.fields.items() if self.marks_deleted(name) and is_filled(value)]
        if not marks:
            return
        done.deleted = True
        path = first_sent(done.fields, self.fields["deleted"].paths)
        if path is not None and flag_of(_parent(done.fields, path)[path[-1]]) is False:
            message = f"is filled, but {path[-1]} is false. Correct the record, or declare deleted_if_filled = []."
            done.errors.append(FieldError(marks[0], "deletion_contradicts", message))


def _rare(sign: str) -> bytes:
    """Return a character of a text that records probably do not have, or else its first character."""
    return next((mark for mark in sign[1:] if not mark.isalnum()), sign[1:2] or sign).encode()


def _converter(kind: Kind, declared: FieldFormat) -> Converter | None:
    """Return the converter of a declared format. None if nothing is declared about values of this kind."""
    if kind == "number" and any(getattr(declared, each) is not None for each in _NUMBER_SETTINGS):
        return NumberFormat(declared)
    if kind == "day" and declared.days:
        return TimeFormat(declared, days_only=True)
    if kind == "time" and (declared.times or declared.days):
        return TimeFormat(declared, days_only=False)
    if kind == "time" and declared.zone:
        return TimeFormat(FieldFormat(times=("iso", "unix", "unix_ms")).over(declared), days_only=False)
    return FlagFormat(declared.true, declared.false) if kind == "flag" else None


def is_filled(value: Any) -> bool:
    """Return whether a value marks a deleted record: a day, a time or a text, but no null text and no zero."""
    if type(value) is str:
        text = value.strip()
        return bool(text) and text not in NULL_TEXTS and not is_zero(text) and flag_of(text) is not False
    return bool(value)


def flag_of(value: Any) -> bool | None:
    """Return the flag that a value is for the models. None if it is no flag."""
    if type(value) is bool:
        return value
    if type(value) in (int, Decimal):
        return {0: False, 1: True}.get(value)
    return _FLAGS.get(value.strip().lower()) if type(value) is str else None


def first_sent(fields: Mapping[str, Any], paths: Iterable[Path]) -> Path | None:
    """Return the first of these paths that leads to a value."""
    for path in paths:
        value: Any = fields
        for step in path:
            value = value.get(step) if type(value) is dict else None
        if value is not None:
            return path
    return None


def judged(values: Column) -> tuple[bool, list[int]]:
    """Judge the points in a column of numbers. Return whether one is settled, and the places of doubtful numbers."""
    kinds = set(map(type, values))
    settled = Decimal in kinds and any(map(_is_fraction, values))
    if str not in kinds:
        return settled, []
    texts = values if kinds == {str} else [value if type(value) is str else "" for value in values]
    joined = "\n".join(texts) + "\n"
    if "." not in joined:
        return settled, []
    places: list[int] = []
    if _DOUBTFUL_HINT.search(joined) is not None:
        places = [place for place, value in enumerate(texts) if DOUBTFUL.fullmatch(value)]
    return settled or _SETTLING_LINE.search(joined) is not None, places


def _details(failed: ValidationError) -> list[ErrorDetails]:
    return failed.errors(include_url=False, include_context=False, include_input=False)


def _plain_date(match: re.Match[str]) -> str:
    return date(*map(int, match.groups())).isoformat()


def _judge(field_name: str, name: str, value: Any, done: Converted) -> None:
    if type(value) is str:
        if DOUBTFUL.fullmatch(value.strip()):
            done.findings.doubts.append(Doubt(field_name, name, value.strip()))
        elif SETTLING.fullmatch(value.strip()):
            done.findings.settled.add(field_name)
    elif _is_fraction(value):
        done.findings.settled.add(field_name)


def _is_fraction(value: Any) -> bool:
    return type(value) is Decimal and "." in str(value)


def _parent(fields: dict[str, Any], path: Path) -> dict[str, Any]:
    for step in path[:-1]:
        fields = fields[step]
    return fields


def _folds(fields: Iterable[FieldReading]) -> dict[str, tuple[FieldReading, Path]]:
    """Return the fields by their folded aliases. An alias that two fields have in common is left out."""
    found: dict[str, list[tuple[FieldReading, Path]]] = {}
    for each in fields:
        for path in each.paths:
            if len(path) == 1:
                found.setdefault(folded(path[0]), []).append((each, path))
    return {fold: meant[0] for fold, meant in found.items() if len({each.name for each, _ in meant}) == 1}


def _lenient(model: type[Record], dataset: Dataset) -> set[str]:
    """Return the fields without which a record can be loaded: no keys, ends and types, and nothing that a rule requires."""
    strict = {"updated_at", "deleted", *(column.field for column in dataset.key_columns)}
    strict.update(rule.field for rule in dataset.rules if rule.name == "missing")
    for name in dataset.fields:
        if name not in Record.model_fields:
            declared = Declared.of(dataset.record, name)
            if declared.role is not Role.VALUE or declared.not_null:
                strict.add(name)
    return {name for name, each in model.model_fields.items() if name not in strict and not each.is_required()}


def _kind(hint: Any) -> Kind:
    """Return what a field holds, by its annotation."""
    alternatives = [each for each in get_args(hint) if each is not NoneType] if NoneType in get_args(hint) else [hint]
    if len(alternatives) != 1:
        return "other"
    if alternatives[0] == Id:
        return "id"
    base = get_args(alternatives[0])[0] if get_origin(alternatives[0]) is Annotated else alternatives[0]
    for type_, kind in _BASES:
        if base is type_:
            return kind
    return "other"
