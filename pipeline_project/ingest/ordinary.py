"""The short way for ordinary records: plain texts, numbers and ISO times, well within their bounds, under flat names.

It takes what pydantic would take and changes nothing of it, at a fraction of the cost: msgspec checks types and lengths
while it parses. Whatever is not plainly ordinary is None here and left to pydantic, so that the models alone decide what a
record may hold. Tests hold the two against each other.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import msgspec

from pipeline_project.sources.records import ID_LENGTH, Amount, Count, Day, Id, Label, Money, Record, Text

Reader = Callable[[Any], Any]
"""What an ordinary value means, as COPY text where it becomes a column; None: not ordinary."""

DIGITS = 18
"""A number of no more characters keeps all bounds of Money and Amount."""

NO_CONTENT = frozenset({"deleted", "updated_at"})
"""Fields of a model that say nothing about the entity itself: the quality score leaves them out."""

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)


def _source_id(value: Any) -> str:
    return str(value)


def _money(value: Any) -> str | None:
    if type(value) is not Decimal and type(value) is not int:
        return None
    text = str(value)
    if len(text) > DIGITS or "E" in text:
        return None
    if text[-1] == "0" and "." in text:
        text = text.rstrip("0").rstrip(".")
    return None if text == "-0" else text


def _amount(value: Any) -> str | None:
    text = _money(value)
    return None if text is None or text[0] == "-" else text


def _count(value: Any) -> str | None:
    return str(value) if type(value) is int and 0 <= value <= 2**53 else None


def timestamp(value: Any) -> datetime | None:
    """An ISO 8601 time or day in full; UTC where it names no zone."""
    if type(value) is not str or not _TIMESTAMP.fullmatch(value):
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read


class _Kind(NamedTuple):
    """How msgspec parses a field, and what is made of it; without a reader, a text as it is."""

    parsed: Any
    reader: Reader | None


def _up_to(length: int) -> Any:
    return Annotated[str, msgspec.Meta(max_length=length)]


_KINDS: list[tuple[Any, _Kind]] = [
    (Id, _Kind(_up_to(ID_LENGTH) | int, _source_id)),
    (Label, _Kind(_up_to(200), None)),
    (Text, _Kind(_up_to(10_000), None)),
    (Money, _Kind(Any, _money)),
    (Amount, _Kind(Any, _amount)),
    (Count, _Kind(int, _count)),
    (Day, _Kind(date, date.isoformat)),
    (datetime, _Kind(Any, timestamp)),
    (bool, _Kind(bool, bool)),
]


class Ordinary(NamedTuple):
    """What was read of a record."""

    columns: list[Any]
    """In the order they were asked for; "" where not sent."""
    attributes: dict[str, Any]
    """All else that was sent."""
    filled: int
    """How many fields of the model were sent, those of NO_CONTENT aside."""


class _Spelling(NamedTuple):
    """A choice of one spelling for each field."""

    decode: Callable[[bytes], Any]
    taken: frozenset[str]
    """The spellings that are chosen."""
    attributes: list[tuple[int, str, str]]
    """Fields that are no columns: place in the parsed record, spelling, canonical name."""


class OrdinaryRecords:
    """Reads ordinary records of one model. `complete` is false where only pydantic can read it."""

    def __init__(
        self, model: type[Record], spellings: Mapping[str, Sequence[tuple[str, ...]]], columns: Sequence[str]
    ) -> None:
        """`columns` are the fields to give back one by one; others become attributes under their canonical names."""
        hints = get_type_hints(model, include_extras=True)
        names = [*columns, *(name for name in spellings if name not in columns)]
        kinds = [_kind(hints[name]) for name in names]
        self.complete = None not in kinds and all(len(path) == 1 for paths in spellings.values() for path in paths)
        self._names = names
        self._width = len(columns)
        self._kinds = [kind for kind in kinds if kind is not None]
        self._readers = [kind.reader for kind in self._kinds]
        self._content = [name not in NO_CONTENT for name in names]
        self._spellings = [[path[0] for path in spellings[name]] for name in names]
        self._several = frozenset(each for choices in self._spellings if len(choices) > 1 for each in choices)
        self._known: dict[tuple[str, ...], _Spelling] = {}
        if self.complete:
            self._now = self._spelled(tuple(choices[0] for choices in self._spellings))

    def read(self, data: bytes) -> Ordinary | None:
        """The record, if it is an ordinary one."""
        try:
            fields = _decode(data)
            if type(fields) is not dict:
                return None
            if b"null" in data or b'""' in data:
                fields = {name: value for name, value in fields.items() if value is not None and value != ""}
            now = self._now
            attributes = {name: value for name, value in fields.items() if name not in now.taken}
            if not self._several.isdisjoint(attributes):
                # Perhaps this record prefers other spellings; those that follow will, too.
                now = self._now = self._spelled(
                    tuple(next((each for each in choices if each in fields), choices[0]) for choices in self._spellings)
                )
                attributes = {name: value for name, value in fields.items() if name not in now.taken}
            values = msgspec.structs.astuple(now.decode(data))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
            return None
        columns: list[Any] = []
        filled = 0
        for value, reader, content in zip(values, self._readers, self._content, strict=True):
            if not value and (value is None or value == ""):
                columns.append("")
                continue
            filled += content
            if reader is not None:
                meaning = reader(value)
                if meaning is None:
                    return None
                columns.append(meaning)
            else:
                columns.append(value)
            if type(value) is str and value != value.strip():
                return None
        for place, spelling, name in now.attributes:
            if columns[place] != "":
                attributes[name] = fields[spelling]
        return Ordinary(columns[: self._width], attributes, filled)

    def _spelled(self, chosen: tuple[str, ...]) -> _Spelling:
        if chosen not in self._known:
            places = [f"f{place}" for place in range(len(chosen))]
            parsed = msgspec.defstruct(
                "Parsed",
                [(place, kind.parsed | None, None) for place, kind in zip(places, self._kinds, strict=True)],
                rename=dict(zip(places, chosen, strict=True)),
            )
            attributes = [
                (place, spelling, name)
                for place, (spelling, name) in enumerate(zip(chosen, self._names, strict=True))
                if place >= self._width
            ]
            decoder = msgspec.json.Decoder(parsed, float_hook=Decimal)
            self._known[chosen] = _Spelling(decoder.decode, frozenset(chosen), attributes)
        return self._known[chosen]


def _kind(hint: Any) -> _Kind | None:
    alternatives = [each for each in get_args(hint) if each is not NoneType] if NoneType in get_args(hint) else [hint]
    if len(alternatives) != 1:
        return None
    return next((kind for type_, kind in _KINDS if type_ == alternatives[0]), None)
