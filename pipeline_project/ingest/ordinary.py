"""The short way for ordinary records: plain texts, numbers and ISO times, well within their bounds, at most one object deep.

It takes what pydantic would take and changes nothing of it, at a fraction of the cost: many records are read at once, and
each step goes down a column of them. Whatever is not plainly ordinary is left out, for pydantic to read: the models alone
decide what a record may hold. Tests hold the two against each other.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import chain, compress
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import msgspec
from pydantic.fields import FieldInfo

from pipeline_project.ingest.json_records import UNREADABLE, RawRecord
from pipeline_project.sources.records import (
    ID_LENGTH,
    Amount,
    Count,
    Day,
    Id,
    Label,
    Money,
    Record,
    Text,
    Time,
    in_utc,
)

Spelling = str | tuple[str, ...]
Column = list[Any]
"""A field of many records. As sent: "" where it was not, None for a null. As read: what it means, "" where it was not sent
or null, None where it is not ordinary."""

DIGITS = 18
"""A number of no more characters keeps all bounds of Money and Amount."""
ROUNDS = 4
"""So many ways of spelling the fields are followed within a chunk; records that spell them in yet another are left out."""

NO_CONTENT = frozenset({"deleted", "updated_at"})
"""Fields of a model that say nothing about the entity itself: the quality score leaves them out."""

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_SIMPLE = frozenset({str, bool})
_ZONED_TIMES = list[Annotated[datetime, msgspec.Meta(tz=True)]]
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,6}")
_UTC_SECONDS = len("2025-01-31T10:00:00Z")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)


def _text(length: int) -> Callable[[Column], Column]:
    within = list[Annotated[str, msgspec.Meta(max_length=length)]]

    def read(values: Column) -> Column:
        try:
            msgspec.convert(values, within)
        except msgspec.ValidationError:
            values = _not_null(values)
            values = [value if type(value) is str and len(value) <= length else None for value in values]
            return [value if value is None or value == value.strip() else None for value in values]
        if list(map(str.strip, values)) != values:
            return [value if value == value.strip() else None for value in values]
        return values

    return read


_id_text = _text(ID_LENGTH)


def ids(values: Column) -> Column:
    """Texts, or integers of no more than 64 bits."""
    if int in set(map(type, values)):
        values = [str(value) if type(value) is int and -(2**63) <= value < 2**64 else value for value in values]
    return _id_text(values)


def unquoted(values: Column) -> Column:
    """With plain numbers out of texts: a CSV has no others."""
    if str not in set(map(type, filter(None, values))):
        return values
    return [_plain_number(value) if type(value) is str else value for value in values]


def _plain_number(text: str) -> Any:
    if _INTEGER.fullmatch(text):
        return int(text)
    return Decimal(text) if _DECIMAL.fullmatch(text) else text


def amounts(values: Column) -> Column:
    return [_number(value) for value in values]


def _number(value: Any) -> str | None:
    # A Decimal is never compared with a text: that takes it a microsecond.
    if type(value) is not Decimal and type(value) is not int:
        return "" if is_blank(value) else None
    text = str(value)
    if len(text) > DIGITS or "E" in text:
        return None
    if text[-1] == "0" and "." in text:
        text = text.rstrip("0").rstrip(".")
    return None if text == "-0" else text


def _amount(values: Column) -> Column:
    return [None if text is not None and text[:1] == "-" else text for text in amounts(values)]


def _count(values: Column) -> Column:
    return [
        str(value) if type(value) is int and 0 <= value <= 2**53 else "" if is_blank(value) else None
        for value in values
    ]


def _flag(values: Column) -> Column:
    return [value if type(value) is bool else "" if is_blank(value) else None for value in values]


def _day(values: Column) -> Column:
    values = _not_null(values)
    try:
        msgspec.convert([value for value in values if value != ""], list[date])
    except msgspec.ValidationError:
        return [value if value == "" or _is_day(value) else None for value in values]
    return values


def _is_day(value: Any) -> bool:
    try:
        msgspec.convert(value, date)
    except msgspec.ValidationError:
        return False
    return True


def times(values: Column) -> Column:
    """ISO 8601 times or days in full, each as (datetime, ISO text); UTC where they name no zone."""
    try:
        if set(map(len, values)) == {_UTC_SECONDS}:
            texts = [f"{value[:10]}T{value[11:19]}+00:00" for value in values]
            return list(zip(msgspec.convert(values, _ZONED_TIMES), texts, strict=True))
    except (TypeError, msgspec.ValidationError):
        pass  # one by one, then
    return ["" if is_blank(value) else _time(value) for value in values]


def _time(value: Any) -> tuple[datetime, str] | None:
    if type(value) is not str or not _TIMESTAMP.fullmatch(value):
        return None
    try:
        read = in_utc(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return None
    return read, read.isoformat()


_READERS: list[tuple[Any, Callable[[Column], Column]]] = [
    (Id, ids),
    (Label, _text(200)),
    (Text, _text(10_000)),
    (Money, amounts),
    (Amount, _amount),
    (Count, _count),
    (Day, _day),
    (Time, times),
    (bool, _flag),
]


class Ordinary(NamedTuple):
    """What was read: an entry each, in lists of one length."""

    places: list[int]
    """Which of the records these are."""
    columns: list[Column]
    """In the order they were asked for, as COPY text but for flags and times; none holds None."""
    attributes: list[dict[str, Any]]
    """All else that was sent."""
    simple: bool
    """Whether all attributes are texts and flags."""
    missing: list[int]
    """How many fields of the model were not sent, those of NO_CONTENT aside."""


class OrdinaryRecords:
    """Reads ordinary records of one model.

    `complete` is false where only pydantic can read it: where there is more to it than the types and bounds of
    sources/records.py.
    """

    def __init__(
        self, model: type[Record], spellings: Mapping[str, Sequence[tuple[str, ...]]], columns: Sequence[str]
    ) -> None:
        """`columns` are the fields to give back one by one; others become attributes under their canonical names."""
        hints = get_type_hints(model, include_extras=True)
        self._names = [*columns, *(name for name in spellings if name not in columns)]
        readers = [_reader(hints[name]) for name in self._names]
        paths = [path for choices in spellings.values() for path in choices]
        self._nested = [path for path in paths if len(path) > 1]
        self._outer = {outer for outer, *_ in self._nested}
        self.complete = (
            None not in readers
            and not any(_has_more_to_say(model, name) for name in self._names)
            # Told as it was sent, and the model would tell it in full.
            and times not in readers[len(columns) :]
            and all(len(path) <= 2 for path in paths)
            and len(set(paths)) == len(paths)
            and not any((outer,) in paths for outer in self._outer)
        )
        self._width = len(columns)
        self._readers = [reader for reader in readers if reader is not None]
        # Of an attribute it would be seen in the result.
        self._numbers = [i for i, reader in enumerate(readers[: self._width]) if reader in (amounts, _amount, _count)]
        # A value in a nested object stands beside the others under its path, as a tuple, which no name can be.
        self._spellings: list[list[Spelling]] = [
            [path[0] if len(path) == 1 else path for path in spellings[name]] for name in self._names
        ]
        self._several = frozenset(each for choices in self._spellings if len(choices) > 1 for each in choices)

    def read(self, records: Sequence[RawRecord], places: Sequence[int]) -> list[Ordinary]:
        """Those of the records at `places` that are ordinary, in groups that spell their fields alike."""
        groups: list[Ordinary] = []
        while places and len(groups) < ROUNDS:
            group, places = self._read(records, places)
            groups.append(group)
        return groups

    def _read(self, records: Sequence[RawRecord], places: Sequence[int]) -> tuple[Ordinary, list[int]]:
        """Those that spell their fields as the first one does; and the places of the others."""
        places, rests = _objects(records, places)
        if self._nested:
            flat = [self._flatten(rest) for rest in rests]
            places, rests = list(compress(places, flat)), list(compress(rests, flat))
        first: dict[Any, Any] = rests[0] if rests else {}
        chosen = [
            next((name for name in choices if not is_blank(first.get(name))), choices[0]) for choices in self._spellings
        ]
        columns = [[rest.pop(name, "") for rest in rests] for name in chosen]
        if not all(map(all, map(dict.values, rests))):
            rests = [{name: value for name, value in rest.items() if not is_blank(value)} for rest in rests]
        kinds = set(map(type, chain.from_iterable(map(dict.values, rests))))
        others = self._spelled_otherwise(chosen, rests, columns)
        as_sent = columns[self._width :]
        for place in self._numbers:
            columns[place] = unquoted(columns[place])
        sent, columns = columns, [read(column) for read, column in zip(self._readers, columns, strict=True)]
        # A column that is as it was sent is good as it is.
        doubtful = [column for column, before in zip(columns, sent, strict=True) if column is not before]
        left_out = others.union(i for column in doubtful if None in column for i, v in enumerate(column) if v is None)
        if left_out:
            kept = [i not in left_out for i in range(len(places))]
            columns = [list(compress(column, kept)) for column in columns]
            as_sent = [list(compress(column, kept)) for column in as_sent]
            rests = list(compress(rests, kept))
        if self._nested:
            for rest in rests:
                self._put_back(rest)
        for name, column in zip(self._names[self._width :], as_sent, strict=True):
            for rest, value in zip(rests, column, strict=True):
                if not is_blank(value):
                    rest[name] = value
        content = [column for name, column in zip(self._names, columns, strict=True) if name not in NO_CONTENT]
        gaps = [column for column in content if not all(column)]
        group = Ordinary(
            [place for i, place in enumerate(places) if i not in left_out],
            columns[: self._width],
            rests,
            kinds <= _SIMPLE,
            [values.count("") for values in zip(*gaps, strict=True)] if gaps else [0] * len(rests),
        )
        return group, [places[i] for i in sorted(others)]

    def _flatten(self, rest: dict[Any, Any]) -> bool:
        """Take the values out of nested objects; false where one of these is something else."""
        for outer in self._outer & rest.keys():
            if type(rest[outer]) is not dict:
                return False
            inner = {name: value for name, value in rest.pop(outer).items() if not is_blank(value)}
            for path in self._nested:
                if path[0] == outer and path[1] in inner:
                    rest[path] = inner.pop(path[1])
            if inner:
                rest[outer] = inner
        return True

    def _put_back(self, rest: dict[Any, Any]) -> None:
        """What no column has taken, into its nested object."""
        for path in self._nested:
            if path in rest:
                value = rest.pop(path)
                rest.setdefault(path[0], {})[path[1]] = value

    def _spelled_otherwise(
        self, chosen: Sequence[Spelling], rests: list[dict[Any, Any]], columns: list[Column]
    ) -> set[int]:
        """Records of which a field stands under another spelling than the chosen one: one that is preferred, or the only one.

        Under any other it is an attribute like those that no field has.
        """
        mixed = [i for i, rest in enumerate(rests) if not self._several.isdisjoint(rest)]
        return {
            i
            for i in mixed
            for choices, name, column in zip(self._spellings, chosen, columns, strict=True)
            if not rests[i].keys().isdisjoint(choices if is_blank(column[i]) else choices[: choices.index(name)])
        }


def is_blank(value: Any) -> bool:
    """Whether that counts as not sent."""
    return value is None or (type(value) is str and not value)


def _not_null(column: Column) -> Column:
    return ["" if value is None else value for value in column] if NoneType in set(map(type, column)) else column


def _objects(records: Sequence[RawRecord], places: Sequence[int]) -> tuple[list[int], list[dict[Any, Any]]]:
    """Those at `places` that can be parsed and are objects: their places and their fields."""
    try:
        values = [_decode(records[place]) for place in places]
    except UNREADABLE:
        values = [_decoded(records[place]) for place in places]
    if set(map(type, values)) <= {dict}:
        return list(places), values
    found = [(place, value) for place, value in zip(places, values, strict=True) if type(value) is dict]
    return [place for place, _ in found], [value for _, value in found]


def _decoded(record: RawRecord) -> Any:
    try:
        return _decode(record)
    except UNREADABLE:
        return None


def _has_more_to_say(model: type[Record], name: str) -> bool:
    """Whether a model says of a field what its type alone does not: bounds, a default, a validator."""
    field = model.model_fields[name]
    if field.metadata != FieldInfo.from_annotation(get_type_hints(model, include_extras=True)[name]).metadata:
        return True
    is_own = name not in Record.model_fields
    if (
        is_own
        and not field.is_required()
        and field.get_default(call_default_factory=True, validated_data={}) is not None
    ):
        return True
    return _validators(model) != _validators(Record) or model.model_config != Record.model_config


def _validators(model: type[Record]) -> set[str]:
    found = model.__pydantic_decorators__
    return {*found.field_validators, *found.validators, *found.model_validators, *found.root_validators}


def _reader(hint: Any) -> Callable[[Column], Column] | None:
    alternatives = [each for each in get_args(hint) if each is not NoneType] if NoneType in get_args(hint) else [hint]
    if len(alternatives) != 1:
        return None
    return next((reader for type_, reader in _READERS if type_ == alternatives[0]), None)
