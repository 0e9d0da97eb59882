"""Days and times in a declared format, as ISO 8601: 31.12.2024 becomes 2024-12-31.

A column whose texts all have the fixed width of the format is read as a matrix of bytes: digits and literals are checked,
and the columns of digits change their places. Local times become UTC through the offsets of their zone. Other texts are
read one by one.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pipeline_project.ingest.mapping.converters.columns import UNREAD, Column, each_value
from pipeline_project.schema.fields import UNIX_SECONDS
from pipeline_project.schema.numbers import plain_number
from pipeline_project.sources.dialect import NAMED_FORMATS, FieldFormat

Integers = npt.NDArray[np.int64]

_WIDTHS = {"%Y": 4, "%m": 2, "%d": 2, "%H": 2, "%M": 2, "%S": 2}
"""Codes with a fixed number of digits."""
_ISO_PLACES = {"%Y": 0, "%m": 5, "%d": 8, "%H": 11, "%M": 14, "%S": 17}
_ISO_DAY, _ISO_TIME = "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"
_CODES = {
    "%Y": r"(?P<Y>[0-9]{4})",
    "%y": r"(?P<y>[0-9]{2})",
    "%m": r"(?P<m>0?[1-9]|1[0-2])",
    "%d": r"(?P<d>0?[1-9]|[12][0-9]|3[01])",
    "%b": r"(?P<b>[A-Za-z]{3})",
    "%B": r"(?P<B>[A-Za-z]{3,9})",
    "%H": r"(?P<H>[01]?[0-9]|2[0-3])",
    "%I": r"(?P<I>0?[1-9]|1[0-2])",
    "%M": r"(?P<M>[0-5][0-9])",
    "%S": r"(?P<S>[0-5][0-9])",
    "%f": r"(?P<f>[0-9]{1,9})",
    "%p": r"(?P<p>[AaPp][Mm])",
    "%z": r"(?P<z>Z|[+-][0-9]{2}(?::?[0-9]{2})?)",
    "%%": "%",
}
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_LAST_TWO_DIGIT_YEAR = 68
"""`68` is 2068 and `69` is 1969, as POSIX says."""
_EXCEL_BEGINNING = datetime(1899, 12, 30)  # noqa: DTZ001 a serial number is a local time
_EXCEL_DAYS = (61, 2_958_465)
"""From 1900-03-01, since spreadsheets count a day before that never was, to the end of the year 9999."""
_EXCEL_LIKELY = (20_000, 80_000)
"""From 1954 to 2119: a smaller or larger number is probably no day."""
_UNIX_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MSDATE = re.compile(r"/Date\((-?[0-9]{1,15})(?:[+-][0-9]{4})?\)/")
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[ T]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?) ?(Z|z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_ZERO = re.compile(r"0{4}-00-00(?:[ T]00:00(?::00(?:\.0+)?)?Z?)?|0{8}|0{14}|00\.00\.0{4}|00/00/0{4}")


def is_zero(text: str) -> bool:
    """Return whether a text is the zero day, which databases and SAP write for a missing value."""
    return _ZERO.fullmatch(text) is not None


def iso_time(text: str) -> str:
    """Return a time of ISO 8601 with its zone as pydantic reads it: `+00` and ` UTC` are known, too. Else the text itself."""
    found = _ISO.fullmatch(text)
    if not found or not found[3]:
        return text
    zone = found[3].upper()
    if zone in ("Z", "UTC", "GMT"):
        zone = "Z"
    elif len(zone) == len("+00"):
        zone += ":00"
    elif ":" not in zone:
        zone = f"{zone[:3]}:{zone[3:]}"
    return f"{found[1]}T{found[2]}{zone}"


class _Fixed(NamedTuple):
    """The places of a format whose parts all have a fixed width."""

    width: int
    digits: npt.NDArray[np.intp]
    """Where the digits are."""
    targets: npt.NDArray[np.intp]
    """Where each of them is in ISO 8601."""
    literals: tuple[tuple[int, int], ...]
    """Places and bytes of all other characters."""
    has_time: bool


def _fixed(pattern: str) -> _Fixed | None:
    place, taken, literals = 0, dict[str, int](), list[tuple[int, int]]()
    for piece in re.findall(r"%.|.", pattern, re.DOTALL):
        if piece.startswith("%"):
            if piece not in _WIDTHS:
                return None
            taken[piece] = place
            place += _WIDTHS[piece]
        elif not piece.isascii():
            return None
        else:
            literals.append((place, ord(piece)))
            place += 1
    if not taken.keys() >= {"%Y", "%m", "%d"}:
        return None
    digits = [at + i for code, at in taken.items() for i in range(_WIDTHS[code])]
    targets = [_ISO_PLACES[code] + i for code in taken for i in range(_WIDTHS[code])]
    return _Fixed(place, np.array(digits), np.array(targets), tuple(literals), bool(taken.keys() & {"%H", "%M", "%S"}))


def _matrix(texts: Sequence[str], fixed: _Fixed) -> npt.NDArray[np.uint8] | None:
    """Return the texts as rows of the bytes of ISO 8601. None unless all are written in the format."""
    data = "".join(texts).encode()
    if len(data) != fixed.width * len(texts):
        return None
    table = np.frombuffer(data, np.uint8).reshape(len(texts), fixed.width)
    digits = table[:, fixed.digits]
    if ((digits < ord("0")) | (digits > ord("9"))).any():
        return None
    if any((table[:, place] != byte).any() for place, byte in fixed.literals):
        return None
    iso = np.empty((len(texts), 19), np.uint8)
    iso[:] = np.frombuffer(b"0000-00-00T00:00:00", np.uint8)
    iso[:, fixed.targets] = digits
    return iso


class TimeFormat:
    """Converts days or times that are written in declared formats to ISO 8601. Times become UTC.

    The formats of a field of days are `days`. Those of a field of times are `times` and `days`.
    """

    def __init__(self, declared: FieldFormat, *, days_only: bool) -> None:
        self._days_only = days_only
        self._formats = (*(() if days_only else declared.times or ()), *(declared.days or ()))
        self._zone = declared.zone
        self._doubtful = declared.doubtful or "reject"
        self._zero = "" if (declared.zero_days or "null") == "null" else UNREAD
        self._readers = [_reader(each_format) for each_format in self._formats]
        self._fixed = [
            fixed
            for each_format in self._formats
            if each_format not in NAMED_FORMATS and (fixed := _fixed(each_format)) is not None
        ]

    def __call__(self, values: Column) -> Column:
        """Convert a column."""
        texts = self.together(values)
        return each_value(self.single, values) if texts is None else texts

    def together(self, values: Column) -> Column | None:
        """Convert a column of texts that are all written in one format of fixed width. None if they are not."""
        try:
            sent = [value for value in values if value] if "" in values else values
            texts = self._converted(sent) if sent else []
        except (TypeError, ValueError):
            return None
        if texts is None or len(texts) == len(values):
            return texts
        converted = iter(texts)
        return [next(converted) if value else "" for value in values]

    def single(self, value: object) -> object:
        """Convert one value. UNREAD if no declared format reads it, or if its local time is doubtful."""
        if type(value) is bool or not isinstance(value, str | int | Decimal | float):
            return value
        if type(value) is not str:
            value = str(value)
        text = value.strip()
        if not text:
            return ""
        if is_zero(text):
            return self._zero
        for reader in self._readers:
            try:
                found = reader(text)
            except (ValueError, OverflowError):
                continue
            if found is not None:
                return self._written(found)
        return UNREAD

    def _converted(self, texts: list[str]) -> Column | None:
        """Convert texts that all have one format of fixed width. None if they have not. ValueError if a day does not exist."""
        for fixed in self._fixed:
            if len(texts[0]) != fixed.width or (iso := _matrix(texts, fixed)) is None:
                continue
            moments = np.frombuffer(iso.tobytes(), "S19").astype("datetime64[s]")
            if self._days_only:
                return np.ascontiguousarray(iso[:, :10]).view("S10").astype("U10").ravel().tolist()
            return self._in_utc(moments.astype(np.int64), texts)
        return None

    def _in_utc(self, local: Integers, texts: list[str]) -> Column | None:
        if self._zone is None:
            return [f"{text}Z" for text in np.datetime_as_string(local.astype("datetime64[s]")).tolist()]
        offsets = _offsets(self._zone)
        if local.min() < _FIRST or local.max() > _LAST:
            return None
        place = np.searchsorted(offsets.begins, local, side="right")
        utc = local - offsets.seconds[place]
        found: Column = [f"{text}Z" for text in np.datetime_as_string(utc.astype("datetime64[s]")).tolist()]
        if len(offsets.begins):
            doubtful = (place < len(offsets.begins)) & (
                local >= offsets.doubtful[np.minimum(place, len(offsets.begins) - 1)]
            )
            for i in np.flatnonzero(doubtful):
                found[i] = self.single(texts[i])
        return found

    def _written(self, found: datetime) -> object:
        if self._days_only:
            return found.date().isoformat()
        if found.tzinfo is None and self._zone is not None:
            placed = _placed(found, ZoneInfo(self._zone), self._doubtful)
            if placed is None:
                return UNREAD
            found = placed
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        text = found.replace(tzinfo=None).isoformat()
        return f"{text}Z"


def _placed(local: datetime, zone: ZoneInfo, doubtful: str) -> datetime | None:
    """Return the moment of a local time. None if it occurs twice or never and `doubtful` does not choose."""
    before, after = (local.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    if before != after:
        if doubtful == "reject":
            return None
        # The larger offset is the earlier moment.
        before = max(before, after) if doubtful == "earlier" else min(before, after)
    return (local - before).replace(tzinfo=UTC)


_Reader = Callable[[str], datetime | None]


def _reader(declared: str) -> _Reader:
    named = {
        "iso": _read_iso,
        "unix": _read_unix,
        "unix_ms": _read_unix_ms,
        "excel": _read_excel,
        "msdate": _read_msdate,
    }
    return named[declared] if declared in named else _pattern_reader(declared)


def _read_iso(text: str) -> datetime | None:
    if not (found := _ISO.fullmatch(text)):
        return None
    # datetime knows six decimals, and a comma only since Python 3.11.
    whole, _, fraction = iso_time(text).replace(",", ".").partition(".")
    digits = re.match("[0-9]*", fraction)
    decimals = digits.group() if digits else ""
    rest = fraction[len(decimals) :]
    return datetime.fromisoformat(f"{whole}.{decimals[:6].ljust(6, '0')}{rest}" if decimals and found[2] else whole)


def _read_unix(text: str, per_second: int = 1) -> datetime | None:
    number = plain_number(text)
    first, last = UNIX_SECONDS
    if number is None or not first * per_second <= number <= last * per_second:
        return None
    return _UNIX_BEGINNING + timedelta(microseconds=int(number * 1_000_000 / per_second))


def _read_unix_ms(text: str) -> datetime | None:
    return _read_unix(text, 1_000)


def _read_excel(text: str) -> datetime | None:
    number = plain_number(text)
    first, last = _EXCEL_DAYS
    if number is None or not first <= number <= last + 1:
        return None
    # A spreadsheet stores a float, so a second can be a bit more or less.
    return _EXCEL_BEGINNING + timedelta(milliseconds=round(float(number) * 86_400) * 1_000)


def _read_msdate(text: str) -> datetime | None:
    found = _MSDATE.fullmatch(text)
    return found and _UNIX_BEGINNING + timedelta(milliseconds=int(found[1]))


@lru_cache(maxsize=256)
def _pattern_reader(pattern: str) -> _Reader:
    """Return what reads texts of a format of strptime codes. The locale of the process does not matter."""
    pieces: list[str] = re.findall(r"%.|.", pattern, re.DOTALL)
    compiled = re.compile("".join(_CODES[piece] if piece in _CODES else re.escape(piece) for piece in pieces))

    def read(text: str) -> datetime | None:
        found = compiled.fullmatch(text)
        return found and _moment(found.groupdict())

    return read


def _moment(parts: dict[str, str | None]) -> datetime | None:
    """Return the time that the parts of a text name. ValueError if that day does not exist."""
    year = parts.get("Y")
    if year is None:
        short = int(parts["y"] or 0)
        year = (2000 if short <= _LAST_TWO_DIGIT_YEAR else 1900) + short
    month = parts.get("m")
    if month is None:
        name = (parts.get("B") or parts.get("b") or "").lower()
        names = [full for full in _MONTHS if full == name or full[:3] == name]
        if not names:
            return None
        month = _MONTHS.index(names[0]) + 1
    hour = int(parts.get("H") or 0)
    if (twelve := parts.get("I")) is not None:
        hour = int(twelve) % 12 + (12 if (parts.get("p") or "").lower() == "pm" else 0)
    micros = int((parts.get("f") or "0")[:6].ljust(6, "0"))
    minute, second = int(parts.get("M") or 0), int(parts.get("S") or 0)
    # The zone comes from the declaration.
    moment = datetime(int(year), int(month), int(parts["d"] or 0), hour, minute, second, micros)  # noqa: DTZ001
    if (zone := parts.get("z")) is None:
        return moment
    return moment.replace(tzinfo=_offset(zone))


def _offset(zone: str) -> timezone:
    """Return the offset of `Z`, `+01`, `+0100` or `+01:00`."""
    if zone == "Z":
        return UTC
    digits = zone[1:].replace(":", "").ljust(4, "0")
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(ahead if zone[0] == "+" else -ahead)


class _Offsets(NamedTuple):
    """The offsets of a zone, by local time."""

    begins: Integers
    """Local seconds from which only the next offset holds."""
    doubtful: Integers
    """Local seconds from which, up to `begins`, a time occurs twice or never."""
    seconds: Integers
    """The offsets, one more than there are changes."""


_LAST_YEAR = 2100
_FIRST, _LAST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (1971, _LAST_YEAR))
"""Local seconds between which the changes of a zone are known. Other times are read one by one."""


@lru_cache(maxsize=64)
def _offsets(zone: str) -> _Offsets:
    """Return the changes of a zone's offset from 1970 to 2100. No zone changes twice within two weeks and back."""
    place, now, step = ZoneInfo(zone), datetime(1970, 1, 1, tzinfo=UTC), timedelta(days=7)
    offset = now.astimezone(place).utcoffset() or timedelta()
    changes: list[tuple[int, int, int]] = []
    first = offset
    while now.year <= _LAST_YEAR:
        later = now + step
        new = later.astimezone(place).utcoffset() or timedelta()
        if new != offset:
            before, after = now, later
            while after - before > timedelta(seconds=1):
                middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
                is_new = middle.astimezone(place).utcoffset() == new
                before, after = (before, middle) if is_new else (middle, after)
            moment, old, current = int(after.timestamp()), int(offset.total_seconds()), int(new.total_seconds())
            changes.append((moment + max(old, current), moment + min(old, current), current))
            offset = new
        now = later
    return _Offsets(
        np.array([begin for begin, _, _ in changes], np.int64),
        np.array([doubt for _, doubt, _ in changes], np.int64),
        np.array([int(first.total_seconds()), *(seconds for _, _, seconds in changes)], np.int64),
    )


_GUESSES = (
    *("%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d.%m.%y", "%m/%d/%y"),
    *("%d/%m/%y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y"),
)
_CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")


def fitting_formats(text: str, *, days_only: bool) -> list[str]:
    """Return the formats that would read a text as a day or time, so that a person can choose one."""
    text = text.strip()
    found: list[str] = []
    for day in _GUESSES:
        for pattern in (day, *(f"{day}{joint}{clock}" for joint in (" ", ", ", "T") for clock in _CLOCKS)):
            if _reads(pattern, text):
                found.append(pattern)
    if not days_only:
        found += [name for name in ("unix", "unix_ms", "msdate") if _reads(name, text)]
    first, last = _EXCEL_LIKELY
    if (number := plain_number(text)) is not None and first <= number <= last:
        found.append("excel")
    return found


def _reads(pattern: str, text: str) -> bool:
    try:
        return _reader(pattern)(text) is not None
    except (ValueError, OverflowError):
        return False
