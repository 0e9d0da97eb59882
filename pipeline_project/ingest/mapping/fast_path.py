"""The short way for ordinary records: plain texts, numbers and ISO times, well within their bounds, at most one object deep.

It takes what pydantic would take and changes nothing of it, at a fraction of the cost: many records are read at once, and
each step goes down a column of them. Whatever is not plainly ordinary is left out, for pydantic to read: the models alone
decide what a record may hold. Tests hold the two against each other.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import chain, compress
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import msgspec
import numpy as np
import numpy.typing as npt
from pydantic.fields import FieldInfo

from pipeline_project.ingest.decoding import UNREADABLE, RawRecord, decode
from pipeline_project.ingest.mapping.column_counts import ColumnCounts, count_columns
from pipeline_project.ingest.mapping.copy_text import DEEPEST, depth, share_text, unstorable
from pipeline_project.ingest.mapping.struct_columns import (
    Column,
    Fields,
    Path,
    coalesce,
    exactly,
    is_all_missing,
    is_missing,
    not_null,
)
from pipeline_project.schema.fields import (
    FIRST_DAY,
    ID_LENGTH,
    LAST_DAY,
    Amount,
    Count,
    Day,
    Id,
    Label,
    MetricDay,
    Money,
    Share,
    Structure,
    Text,
    Time,
    in_utc,
)
from pipeline_project.schema.record import Record

Read = Callable[[Column], Column]
"""From what was sent to what it means: "" where it was not sent or null, None where it is not ordinary."""

DIGITS = 18
"""A number of no more characters keeps all bounds of Money and Amount."""
CHARACTERS_OF_SHARE = 40
"""More than any float has. The models check the bounds of longer numbers."""
FREQUENT = 8
"""A field becomes a column if more than one in so many records has it."""
MOST_FIELDS = 2_000
"""Columns there are. A struct is made for them, which takes its time."""
SAMPLE = 64
"""So many records tell whether those to come are likely to have a field."""

NO_CONTENT = frozenset({"deleted", "updated_at"})
"""Fields of a model that say nothing about the entity itself: the quality score leaves them out."""

NO_TIME = np.iinfo(np.int64).max
"""Among microseconds: what is not an ordinary time."""

_SIMPLE = frozenset({str, bool, NoneType})
_ZONED_TIMES = list[Annotated[datetime, msgspec.Meta(tz=True)]]
_UNTOLD = re.compile(r'["\\\x00-\x1f]')
"""What the name of a struct's field cannot hold."""
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,6}")
_UTC_SECONDS = len("2025-01-31T10:00:00Z")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""Where PostgreSQL's time begins."""
_MICROSECOND = timedelta(microseconds=1)
_SINCE_1970 = (_EPOCH - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)


def _text(length: int) -> Read:
    within = list[Annotated[str, msgspec.Meta(max_length=length)]]

    def read(values: Column) -> Column:
        try:
            msgspec.convert(values, within)
        except msgspec.ValidationError:
            values = not_null(values)
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
        return "" if is_missing(value) else None
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
        str(value) if type(value) is int and 0 <= value <= 2**53 else "" if is_missing(value) else None
        for value in values
    ]


def _share(values: Column) -> Column:
    return [
        share_text(float(text))
        if type(value) in (int, Decimal)
        and 0 <= value <= 1
        and len(text := str(value)) <= CHARACTERS_OF_SHARE
        and "E" not in text
        else ("" if is_missing(value) else None)
        for value in values
    ]


def _structure(values: Column) -> Column:
    """As they are."""
    return [
        (value if depth(value) < DEEPEST and not unstorable(value) else None)
        if type(value) in (dict, list)
        else ("" if is_missing(value) else None)
        for value in values
    ]


def _flag(values: Column) -> Column:
    return [value if type(value) is bool else "" if is_missing(value) else None for value in values]


def _day(values: Column) -> Column:
    values = not_null(values)
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


def _metric_day(values: Column) -> Column:
    first, last = FIRST_DAY.isoformat(), LAST_DAY.isoformat()
    return [None if value and not first <= value <= last else value for value in _day(values)]


def _moments(values: Column) -> Column:
    """ISO 8601 times or days in full, in UTC; that is what is meant where they name no zone."""
    return _utc_seconds(values) or ["" if is_missing(value) else _moment(value) for value in values]


def _utc_seconds(values: Column) -> list[datetime] | None:
    """The times if all are written like "2025-01-31T10:00:00Z", as they mostly are."""
    try:
        if set(map(len, values)) == {_UTC_SECONDS}:
            return msgspec.convert(values, _ZONED_TIMES)
    except (TypeError, msgspec.ValidationError):
        pass
    return None


def microseconds(values: Column, default: int) -> npt.NDArray[np.int64]:
    """Times as PostgreSQL has them, since the beginning of 2000. `default`: where none was sent.

    One that is not ordinary lies behind all others.
    """
    if _utc_seconds(values) is not None:
        with suppress(ValueError):  # a small "t", say
            texts = np.frombuffer("".join(values).encode(), f"S{_UTC_SECONDS}").astype(f"S{_UTC_SECONDS - 1}")
            return texts.astype("datetime64[us]").astype(np.int64) - _SINCE_1970
    told = (default if time == "" else NO_TIME if time is None else microsecond(time) for time in _moments(values))
    return np.fromiter(told, np.int64, len(values))


def microsecond(time: datetime) -> int:
    """Microseconds since the beginning of 2000."""
    return (time - _EPOCH) // _MICROSECOND


def _moment(value: Any) -> datetime | None:
    if type(value) is not str or not _TIMESTAMP.fullmatch(value):
        return None
    try:
        return in_utc(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return None


def _times(values: Column) -> Column:
    """Moments, each as (datetime, ISO text). Python takes five times as long to spell one out."""
    return [
        time and (time, f"{value[:10]}T{value[11:19]}+00:00" if len(value) == _UTC_SECONDS else time.isoformat())
        for time, value in zip(_moments(values), values, strict=True)
    ]


_READERS: list[tuple[Any, Read]] = [
    (Id, ids),
    (Label, _text(200)),
    (Text, _text(10_000)),
    (Money, amounts),
    (Amount, _amount),
    (Count, _count),
    (Share, _share),
    (Structure, _structure),
    (Day, _day),
    (MetricDay, _metric_day),
    (Time, _times),
    (bool, _flag),
]

_NUMBERS = (amounts, _amount, _count, _share)


class FastColumns(NamedTuple):
    """What was read: an entry each, in lists of one length."""

    places: list[int]
    """Which of the records these are."""
    columns: list[Column]
    """In the order they were asked for, as COPY text but for flags, structures and times; none holds None."""
    attributes: list[Any]
    """All else that was sent, as objects to be encoded."""
    missing: list[int]
    """How many fields of the model were not sent, those of NO_CONTENT aside."""
    decoded: list[int]
    """Places of the records that could be decoded, whether they are ordinary or not."""
    counts: ColumnCounts
    """The columns of the decoded records, as sent."""


class FastPath:
    """Reads ordinary records of one model.

    `complete` is false where only pydantic can read it: where there is more to it than the types and bounds of
    schema/fields.py.
    """

    def __init__(
        self,
        model: type[Record],
        aliases: Mapping[str, Sequence[Path]],
        columns: Sequence[str],
        defaults: Mapping[str, Any],
    ) -> None:
        """`columns` are the fields to give back one by one; others become attributes under their canonical names.

        `defaults` of the model that whoever asks knows of: here they are blank.
        """
        hints = get_type_hints(model, include_extras=True)
        self._names = [*columns, *(name for name in aliases if name not in columns)]
        readers = [_reader(hints[name]) for name in self._names]
        self._aliases = [aliases[name] for name in self._names]
        paths = list(chain.from_iterable(self._aliases))
        self._nested = tuple(path for path in paths if len(path) > 1)
        self._outer = {outer for outer, *_ in self._nested}
        self._width = len(columns)
        self.complete = (
            None not in readers
            and not any(_has_more_to_say(model, name, defaults.get(name)) for name in self._names)
            # Told as it was sent, and the model would tell it in full.
            and _times not in readers[self._width :]
            # Only columns are checked for missing values.
            and not any(model.model_fields[name].is_required() for name in self._names[self._width :])
            and all(len(path) <= 2 for path in paths)
            and len(set(paths)) == len(paths)
            and self._outer.isdisjoint([*(path[0] for path in paths if len(path) == 1), *self._names[self._width :]])
        )
        self._readers = [reader for reader in readers if reader is not None]
        # Of an attribute it would be seen in the result.
        self._numbers = [i for i, reader in enumerate(readers[: self._width]) if reader in _NUMBERS]
        self._spelled = {path[0] for path in paths}
        self._content = [
            place for place, name in enumerate(self._names) if name not in NO_CONTENT and name not in defaults
        ]
        # What the records before had: those to come are likely to have the same.
        self._expected = self._nested

    def read(self, records: Sequence[RawRecord], places: Sequence[int]) -> FastColumns:
        """Those of the records at `places` that are ordinary."""
        places, columns, rests = self._decoded(records, places)
        decoded, counts = places, ColumnCounts(len(places), count_columns(columns, rests))
        sent = [_take(columns, choices) or [""] * len(places) for choices in self._aliases]
        for name, column in zip(self._names[self._width :], sent[self._width :], strict=True):
            columns[name,] = coalesce([column, columns[name,]]) if (name,) in columns else column
        for place in self._numbers:
            sent[place] = unquoted(sent[place])
        read = [reader(column) for reader, column in zip(self._readers, sent, strict=True)]
        # A column that is as it was sent is good as it is.
        doubtful = [
            column for column, before in zip(read, sent, strict=True) if column is not before and None in column
        ]
        left_out = {i for column in doubtful for i, value in enumerate(column) if value is None}
        left_out.update(i for path, column in columns.items() for i in _unusual(column, len(path)))
        left_out.update(_unusual(rests, 0))
        if left_out:
            kept = [i not in left_out for i in range(len(places))]
            places = list(compress(places, kept))
            read = [list(compress(column, kept)) for column in read]
            columns = {path: list(compress(column, kept)) for path, column in columns.items()}
            rests = list(compress(rests, kept))
        content = [read[place] for place in self._content]
        gaps = [column for column in content if not all(column)]
        return FastColumns(
            places,
            read[: self._width],
            _objects(columns, rests, len(places)),
            [values.count("") for values in zip(*gaps, strict=True)] if gaps else [0] * len(places),
            decoded,
            counts,
        )

    def _decoded(
        self, records: Sequence[RawRecord], places: Sequence[int]
    ) -> tuple[list[int], dict[Path, Column], list[dict[str, Any]]]:
        """Of those that can be parsed and are objects: their places, the fields that are frequent, and all others of each.

        The last is empty where no record has any.
        """
        fields = exactly(self._expected)
        rests: list[dict[str, Any]] = []
        try:
            structs = [fields.decode(records[place]) for place in places]
        except UNREADABLE:
            fields, found, rests = self._decoded_singly([records[place] for place in places])
            readable = [struct is not None for struct in found]
            places, structs = list(compress(places, readable)), list(compress(found, readable))
            rests = list(compress(rests, readable))
        columns = {path: fields.column(structs, path) for path in fields.paths}
        used = [path for path, column in columns.items() if not all(map(is_missing, column[:SAMPLE]))]
        self._expected = tuple(dict.fromkeys((*self._nested, *used)))
        return list(places), columns, rests

    def _decoded_singly(self, records: Sequence[RawRecord]) -> tuple[Fields, list[Any], list[dict[str, Any]]]:
        """Where some have other fields than expected: what is frequent by now; and by record a struct of that and the rest.

        No struct, but None, where only the models can tell.
        """
        fields = exactly(self._expected)
        structs = [_or_none(fields.decode, record) for record in records]
        unlike = [record for record, struct in zip(records, structs, strict=True) if struct is None]
        if len(unlike) * FREQUENT > len(records):
            times = Counter(chain.from_iterable(map(self._paths, unlike)))
            frequent = [path for path, count in times.most_common() if count * FREQUENT > len(unlike)]
            fields = exactly(tuple(dict.fromkeys((*self._expected, *frequent)))[:MOST_FIELDS])
            structs = [_or_none(fields.decode, record) for record in records]
        rests: list[dict[str, Any]] = [{} for _ in records]
        for i, record in enumerate(records):
            if structs[i] is None:
                structs[i], rests[i] = self._with_rest(fields, record)
        return fields, structs, rests

    def _with_rest(self, fields: Fields, record: RawRecord) -> tuple[Any, dict[str, Any]]:
        """A record as struct, and what has no place in that."""
        values = _or_none(decode, record)
        if type(values) is dict:
            names = values.keys() - {name for name, *_ in fields.paths}
            rest = {name: value for name in names if not is_missing(value := values.pop(name))}
            if self._spelled.isdisjoint(names):
                return _or_none(partial(msgspec.convert, type=fields.struct), values), rest
        return None, {}

    def _paths(self, record: RawRecord) -> list[Path]:
        """The fields that a record has, as far as a struct can."""
        fields = _or_none(decode, record)
        if type(fields) is not dict:
            return []
        within = {name: fields.pop(name) for name in self._outer & fields.keys()}
        paths = [(name, inner) for name, values in within.items() if type(values) is dict for inner in values]
        return [path for path in [*((name,) for name in fields), *paths] if not _UNTOLD.search("".join(path))]


def _take(columns: dict[Path, Column], choices: Sequence[Path]) -> Column | None:
    """Of each record the first value that is not blank under these paths. What else is under them stays in the columns."""
    taken: Column | None = None
    for path in choices:
        if path not in columns:
            continue
        column = columns.pop(path)
        if taken is None or is_all_missing(taken):
            taken = column
        elif not is_all_missing(column):
            columns[path] = ["" if is_missing(before) else value for before, value in zip(taken, column, strict=True)]
            taken = coalesce([taken, column])
    return taken


def _unusual(column: Column, outer: int) -> list[int]:
    """The places of values that are nested too deeply within `outer` objects, or may hold a number that cannot be stored."""
    if set(map(type, column)) <= _SIMPLE:
        return []
    return [
        i
        for i, value in enumerate(column)
        if type(value) not in _SIMPLE and (outer + depth(value) > DEEPEST or unstorable(value))
    ]


def _objects(columns: Mapping[Path, Column], rests: Sequence[dict[str, Any]], count: int) -> list[Any]:
    """So many objects to be encoded, of what is not blank in these columns and the rests."""
    paths = tuple(path for path in sorted(columns) if not is_all_missing(columns[path]))
    objects = exactly(paths).structs({path: columns[path] for path in paths}, count)
    if not any(rests):
        return objects
    return [
        {**rest, **msgspec.to_builtins(each, builtin_types=(Decimal,))} if rest else each
        for each, rest in zip(objects, rests, strict=True)
    ]


def _or_none(read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except UNREADABLE:
        return None


def _has_more_to_say(model: type[Record], name: str, known_default: Any) -> bool:
    """Whether a model says of a field what its type alone does not: bounds, another default, a validator."""
    field = model.model_fields[name]
    if field.metadata != FieldInfo.from_annotation(get_type_hints(model, include_extras=True)[name]).metadata:
        return True
    is_own = name not in Record.model_fields
    if (
        is_own
        and not field.is_required()
        and field.get_default(call_default_factory=True, validated_data={}) != known_default
    ):
        return True
    return _validators(model) != _validators(Record) or model.model_config != Record.model_config


def _validators(model: type[Record]) -> set[str]:
    found = model.__pydantic_decorators__
    return {*found.field_validators, *found.validators, *found.model_validators, *found.root_validators}


def is_bounded_type(hint: Any) -> bool:
    """Check that a type of schema/fields.py bounds the numbers that a valid value can hold."""
    return _reader(hint) not in (None, _structure)


def _reader(hint: Any) -> Read | None:
    alternatives = [each for each in get_args(hint) if each is not NoneType] if NoneType in get_args(hint) else [hint]
    if len(alternatives) != 1:
        return None
    return next((reader for type_, reader in _READERS if type_ == alternatives[0]), None)
