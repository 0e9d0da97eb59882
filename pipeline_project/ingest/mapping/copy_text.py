"""What PostgreSQL can store, and the text in which COPY takes it."""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from pipeline_project.schema.numbers import is_bounded

NULL = ""
"""COPY's null: blank texts count as not sent, so it stands for nothing else."""
DEEPEST = 100
"""Levels of nesting. Within the stack of every Python and of PostgreSQL's jsonb."""

_encoder = msgspec.json.Encoder(decimal_format="number", order="sorted")
encode, _encode_lines = _encoder.encode, _encoder.encode_lines
_TO_ESCAPE = re.compile(r"[\\\t\n\r]")
_ESCAPES = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}


def escape(text: str) -> str:
    """A text as COPY's text format wants it."""
    if "\\" in text or "\t" in text or "\n" in text or "\r" in text:
        return _TO_ESCAPE.sub(lambda match: _ESCAPES[match.group()], text)
    return text


def copy_text(value: Any) -> str:
    """A validated value as COPY text; equal numbers give equal texts (1.10 and 1.1)."""
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
    """A number from 0 to 1 as COPY text, with as many decimals as PostgreSQL's real tells apart; some with more it refuses."""
    return str(round(value, 6) + 0.0)  # of -0.0, 0.0


def is_plain(texts: Sequence[str], tabs: int) -> bool:
    """Whether these texts, with so many tabs between the columns of each, are COPY's as they are."""
    text = "\n".join(texts)
    return (
        text.count("\n") == len(texts) - 1
        and text.count("\t") == len(texts) * tabs
        and not any(mark in text for mark in "\\\r\0")
    )


def json_texts(objects: Sequence[Any]) -> tuple[list[str], list[int]]:
    """These objects as JSON, as COPY takes it; and the places of those with a NUL character, which no text can hold."""
    texts = _encode_lines(objects).decode().split("\n")[:-1]
    if "\\" not in "".join(texts):
        return texts, []
    return list(map(escape, texts)), [place for place, text in enumerate(texts) if "\\u0000" in text]


def depth(value: Any) -> int:
    """How many objects and arrays stand within one another."""
    if type(value) not in (dict, list):
        return 0
    depth, level = 0, [value]
    while level := [each for each in level if type(each) in (dict, list)]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if type(each) is dict else each)]
    return depth


def unstorable(value: Any) -> bool:
    """Whether a number in it would be spelled out over megabytes, or not at all."""
    kind = type(value)
    if kind is Decimal or kind is int:
        return not is_bounded(value)
    if kind is dict:
        value = value.values()
    elif kind is not list:
        return False
    # Texts are the most, and a call for each would take longer than all else.
    return any(unstorable(each) for each in value if type(each) is not str)
