"""Readers: each reads a column of sent values as one type, and writes COPY text.

A reader takes only values that it can judge at a glance. It leaves every other value to the models, so that the fast path and
the models give the same result.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import NoneType
from typing import Annotated, Any, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from pipeline_project.ingest.mapping.converters import NumberFormat, has_doubtful_ids, id_error
from pipeline_project.ingest.mapping.copy_text import DEEPEST, depth, share_text, unstorable
from pipeline_project.ingest.mapping.struct_columns import (
    Column,
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
from pipeline_project.sources.dialect import FieldFormat

Read = Callable[[Column], Column]
"""Reads a column of sent values. A missing value becomes "", and a value that only the models can read becomes None."""

DIGITS = 18
"""A number of no more characters keeps all bounds of Money and Amount."""
CHARACTERS_OF_SHARE = 40
"""More than any float has. The models check the bounds of longer numbers."""
NO_TIME = np.iinfo(np.int64).max
"""The mark of a time that only the models can read, among microseconds."""

_ZONED_TIMES = list[Annotated[datetime, msgspec.Meta(tz=True)]]
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,6}")
_UTC_SECONDS = len("2025-01-31T10:00:00Z")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""The moment from which PostgreSQL counts time."""
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


_short_text = _text(ID_LENGTH)


def _labels(values: Column) -> Column:
    """Read short texts. An integer of at most 64 bits is one, too."""
    if int in set(map(type, values)):
        values = [str(value) if type(value) is int and -(2**63) <= value < 2**64 else value for value in values]
    return _short_text(values)


def ids(values: Column) -> Column:
    """Read IDs: texts, or integers of at most 64 bits. Texts that cannot be an ID are left to the models."""
    texts = _labels(values)
    if None not in texts and not has_doubtful_ids(texts):
        return texts
    return [None if text is None or id_error(text) else text for text in texts]


def unquoted(values: Column) -> Column:
    """Turn texts that are plain numbers into numbers. All numbers of a CSV file are texts."""
    if str not in set(map(type, filter(None, values))):
        return values
    return [number_of_text(value) if type(value) is str else value for value in values]


def number_of_text(text: str) -> Any:
    if _INTEGER.fullmatch(text):
        return int(text)
    return Decimal(text) if _DECIMAL.fullmatch(text) else text


def _money(values: Column) -> Column:
    """Read numbers as COPY text."""
    return [_number(value) for value in values]


def _number(value: Any) -> str | None:
    # Comparing a Decimal with a text takes a microsecond.
    if type(value) is not Decimal and type(value) is not int:
        return "" if is_missing(value) else None
    text = str(value)
    if len(text) > DIGITS or "E" in text:
        return None
    if text[-1] == "0" and "." in text:
        text = text.rstrip("0").rstrip(".")
    return None if text == "-0" else text


def _amount(values: Column) -> Column:
    return [None if text is not None and text[:1] == "-" else text for text in _money(values)]


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
    """Read objects and arrays. They stay as they are."""
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
    """Read times or days of ISO 8601, as datetimes in UTC. A time without a zone is in UTC."""
    return _utc_seconds(values) or ["" if is_missing(value) else _moment(value) for value in values]


def _utc_seconds(values: Column) -> list[datetime] | None:
    """Return the times if all of them look like "2025-01-31T10:00:00Z", which is the usual form."""
    try:
        if set(map(len, values)) == {_UTC_SECONDS}:
            return msgspec.convert(values, _ZONED_TIMES)
    except (TypeError, msgspec.ValidationError):
        pass
    return None


def microseconds(values: Column, default: int) -> npt.NDArray[np.int64]:
    """Return times as PostgreSQL has them: since the beginning of 2000. `default` stands for a missing time.

    A time that only the models can read becomes NO_TIME.
    """
    if _utc_seconds(values) is not None:
        with suppress(ValueError):  # for example a small "t"
            texts = np.frombuffer("".join(values).encode(), f"S{_UTC_SECONDS}").astype(f"S{_UTC_SECONDS - 1}")
            return texts.astype("datetime64[us]").astype(np.int64) - _SINCE_1970
    counted = (default if time == "" else NO_TIME if time is None else microsecond(time) for time in _moments(values))
    return np.fromiter(counted, np.int64, len(values))


def microsecond(time: datetime) -> int:
    """Return the microseconds since the beginning of 2000."""
    return (time - _EPOCH) // _MICROSECOND


def _moment(value: Any) -> datetime | None:
    if type(value) is not str or not _TIMESTAMP.fullmatch(value):
        return None
    try:
        return in_utc(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return None


def times(values: Column) -> Column:
    """Read times, each as (datetime, ISO text). Formatting each datetime would take five times as long."""
    return [
        time and (time, f"{value[:10]}T{value[11:19]}+00:00" if len(value) == _UTC_SECONDS else time.isoformat())
        for time, value in zip(_moments(values), values, strict=True)
    ]


_READERS: list[tuple[Any, Read]] = [
    (Id, ids),
    (Label, _labels),
    (Text, _text(10_000)),
    (Money, _money),
    (Amount, _amount),
    (Count, _count),
    (Share, _share),
    (Structure, _structure),
    (Day, _day),
    (MetricDay, _metric_day),
    (Time, times),
    (bool, _flag),
]

_PLAIN_NUMBERS = NumberFormat(FieldFormat())
NUMBERS = (_money, _amount, _count, _share)


def numbers(usual: Read, values: Column) -> Column:
    """Read a column of numbers without a declared format. All numbers of a CSV file are texts."""
    if type(next(filter(None, values), None)) is str and (texts := _PLAIN_NUMBERS.together(values)) is not None:
        return declared_numbers(usual, texts)
    return usual(unquoted(values))


def declared_numbers(usual: Read, texts: Column) -> Column:
    """Read a column of plain numbers without superfluous digits. They are COPY text already. `usual` has their bounds."""
    if set(map(type, texts)) != {str} or max(map(len, texts)) > DIGITS:
        return [_declared_number(usual, text) for text in texts]
    if usual is _share:
        return [text and (share_text(float(text)) if 0 <= float(text) <= 1 else None) for text in texts]
    joined = "" if usual is _money else "".join(texts)
    if "-" in joined or (usual is _count and "." in joined):
        return [_declared_number(usual, text) for text in texts]
    return texts


def _declared_number(usual: Read, value: Any) -> Any:
    """Read one such number, or a number that was sent as a number."""
    if type(value) is str and len(value) > DIGITS:
        return None
    return usual(unquoted([value]))[0]


def is_bounded_type(hint: Any) -> bool:
    """Check that a type of schema/fields.py bounds the numbers that a valid value can hold."""
    return reader_of(hint) not in (None, _structure)


def number_reader(hint: Any) -> Read:
    """Return what reads numbers of a type of schema/fields.py. Of any other type, only the models can read values."""
    reader = reader_of(hint)
    return reader if reader in NUMBERS and reader is not None else lambda values: [None] * len(values)


def reader_of(hint: Any) -> Read | None:
    alternatives = [each for each in get_args(hint) if each is not NoneType] if NoneType in get_args(hint) else [hint]
    if len(alternatives) != 1:
        return None
    return next((reader for type_, reader in _READERS if type_ == alternatives[0]), None)
