"""The short way for ordinary records: plain texts, numbers and ISO times, well within their bounds, under flat names.

It takes what pydantic would take and changes nothing of it, at a fraction of the cost; whatever is not plainly ordinary is
None here and left to pydantic, so that the models alone decide what a record may hold. Tests hold the two against each
other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from types import NoneType
from typing import Any, get_args, get_type_hints

from pipeline_project.sources.records import ID_LENGTH, Amount, Count, Day, Label, Money, Record, Text

Reader = Callable[[Any], Any]
"""What an ordinary value means, as COPY text where it becomes a column; None: not ordinary."""

DIGITS = 18
"""A number of no more characters keeps all bounds of Money and Amount."""


def _text(longest: int) -> Reader:
    def read(value: Any) -> str | None:
        if type(value) is str and 0 < len(value) <= longest and not value[0].isspace() and not value[-1].isspace():
            return value
        return None

    return read


def _source_id(value: Any) -> str | None:
    if type(value) is int:
        value = str(value)
    return _short_text(value)


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


def _day(value: Any) -> str | None:
    if type(value) is not str or len(value) != 10 or value[4] != "-" or value[7] != "-":
        return None
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        return None


def _flag(value: Any) -> bool | None:
    return value if type(value) is bool else None


def timestamp(value: Any) -> datetime | None:
    """An ISO 8601 time or day in full; UTC where it names no zone."""
    if type(value) is not str or not 10 <= len(value) <= 32 or value[4] != "-" or value[7] != "-":
        return None
    if len(value) > 10 and (
        len(value) < 19 or value[10] != "T" or value[13] != ":" or value[16] != ":" or "," in value
    ):
        return None
    if (
        len(value) > 19
        and value[-1] != "Z"
        and value[-3] != ":"
        and (value[19] != "." or "+" in value or "-" in value[10:])
    ):
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read


_short_text = _text(ID_LENGTH)
_READERS: list[tuple[Any, Reader]] = [
    (Label, _text(200)),
    (Text, _text(10_000)),
    (Money, _money),
    (Amount, _amount),
    (Count, _count),
    (Day, _day),
    (datetime, timestamp),
    (bool, _flag),
]


@dataclass(frozen=True)
class Ordinary:
    """What was read of a record. `columns` and the rest are in the order they were asked for; "" where not sent."""

    columns: list[Any]
    filled: int
    """How many fields of the model were sent, `deleted` aside."""


class OrdinaryRecords:
    """Reads ordinary records of one model."""

    def __init__(
        self, model: type[Record], spellings: Mapping[str, Sequence[tuple[str, ...]]], columns: Sequence[str]
    ) -> None:
        """`columns` are the fields to give back; others stay in the record under their canonical names."""
        hints = get_type_hints(model, include_extras=True)
        self._width = len(columns)
        # (first spelling, the others, reader, place among the columns or -1, canonical name)
        self._plan: list[tuple[str, tuple[str, ...], Reader, int, str]] = []
        self.complete = True
        for name, paths in spellings.items():
            reader = _source_id if name == "source_id" else _reader(hints[name])
            if reader is None or any(len(path) > 1 for path in paths):
                self.complete = False  # only pydantic can read this model
                return
            first, *others = (path[0] for path in paths)
            place = columns.index(name) if name in columns else -1
            self._plan.append((first, tuple(others), reader, place, name))

    def read(self, fields: dict[str, Any]) -> Ordinary | None:
        """Take the model's fields out of `fields`, which holds no nulls; what is left there are the attributes.

        None: not ordinary; `fields` is then of no more use.
        """
        columns: list[Any] = [""] * self._width
        attributes: list[tuple[str, Any]] = []
        filled = 0
        take = fields.pop
        for first, others, reader, place, name in self._plan:
            value = take(first, None)
            if value is None:
                for other in others:
                    value = take(other, None)
                    if value is not None:
                        break
                else:
                    continue
            meaning = reader(value)
            if meaning is None:
                return None
            filled += name != "deleted"
            if place < 0:
                attributes.append((name, value))
            else:
                columns[place] = meaning
        if attributes:
            fields.update(attributes)
        return Ordinary(columns, filled)


def _reader(hint: Any) -> Reader | None:
    alternatives = [each for each in get_args(hint) if each is not NoneType] if NoneType in get_args(hint) else [hint]
    if len(alternatives) != 1:
        return None
    return next((reader for kind, reader in _READERS if kind == alternatives[0]), None)
