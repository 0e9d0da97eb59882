"""What all converters share: the column, and the mark of a value that is not written in a declared format."""

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol


class Unread(Enum):
    """The mark of a value that is not written in a declared format. None would mean that no value was sent."""

    UNREAD = "unread"


UNREAD = Unread.UNREAD

Column = list[Any]
"""The values of a field in many records. A missing value is an empty text or None."""
Convert = Callable[[Column], Column]
"""Converts a column. A missing value becomes an empty text, a value that is not so written UNREAD."""
Single = Callable[[Any], Any]
"""Converts one value in the same way."""


class Converter(Protocol):
    """A converter that can also prove that a whole column is written in its format."""

    def __call__(self, values: Column) -> Column: ...

    def together(self, values: Column) -> Column | None:
        """Convert a column. None if that needs a look at each value."""
        ...

    def single(self, value: Any) -> Any:
        """Convert one value."""
        ...


def each_value(single: Single, values: Column) -> Column:
    """Convert values one by one. Equal texts are converted once."""
    known: dict[str, Any] = {}
    converted: Column = []
    for value in values:
        if value is None:
            converted.append("")
        elif type(value) is not str:
            converted.append(single(value))
        else:
            if value not in known:
                known[value] = single(value)
            converted.append(known[value])
    return converted
