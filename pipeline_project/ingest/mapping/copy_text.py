"""What PostgreSQL can store, and how COPY expects its text."""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from pipeline_project.schema.numbers import is_bounded

NULL = ""
"""The null of COPY. An empty text counts as not sent, so null is its only meaning."""
DEEPEST = 100
"""Most levels of nesting. The stacks of Python and of jsonb in PostgreSQL have room for more."""

_encoder = msgspec.json.Encoder(decimal_format="number", order="sorted")
encode, _encode_lines = _encoder.encode, _encoder.encode_lines
_TO_ESCAPE = re.compile(r"[\\\t\n\r]")
_ESCAPES = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}


def escape(text: str) -> str:
    """Escape a text for the text format of COPY."""
    if "\\" in text or "\t" in text or "\n" in text or "\r" in text:
        return _TO_ESCAPE.sub(lambda match: _ESCAPES[match.group()], text)
    return text


def copy_text(value: Any) -> str:
    """Return a validated value as COPY text. Equal numbers give equal texts (1.10 and 1.1)."""
    if value is None:
        return NULL
    if type(value) is str:
        return escape(value)
    if type(value) is Decimal:
        text = str(value)
        if "E" in text:
            text = format(value, "f")
        if "." in text and text[-1] == "0":
            text = text.rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    if type(value) is bool:
        return "t" if value else "f"
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def share_text(value: float) -> str:
    """Return a number from 0 to 1 as COPY text, with the decimals that the type real can distinguish."""
    return str(round(value, 6) + 0.0)  # turns -0.0 into 0.0


def is_plain(texts: Sequence[str], tabs: int) -> bool:
    """Check that these texts need no escape. Each has `tabs` tabs between its columns."""
    text = "\n".join(texts)
    return (
        text.count("\n") == len(texts) - 1
        and text.count("\t") == len(texts) * tabs
        and not any(mark in text for mark in "\\\r\0")
    )


def json_texts(objects: Sequence[Any]) -> tuple[list[str], list[int]]:
    """Return objects as JSON for COPY, and the places of objects with a NUL character, which no text can hold."""
    texts = _encode_lines(objects).decode().split("\n")[:-1]
    if "\\" not in "".join(texts):
        return texts, []
    return list(map(escape, texts)), [place for place, text in enumerate(texts) if "\\u0000" in text]


def depth(value: Any) -> int:
    """Return how many objects and arrays are nested."""
    if type(value) not in (dict, list):
        return 0
    depth, level = 0, [value]
    while level := [each for each in level if type(each) in (dict, list)]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if type(each) is dict else each)]
    return depth


def unstorable(value: Any) -> bool:
    """Check whether a value has a number that would take megabytes of digits, or that has no digits at all."""
    kind = type(value)
    if kind is Decimal or kind is int:
        return not is_bounded(value)
    if kind is dict:
        value = value.values()
    elif kind is not list:
        return False
    # Most values are texts. A call for each would take longer than all else.
    return any(unstorable(each) for each in value if type(each) is not str)
