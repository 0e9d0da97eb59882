"""Look at all opening braces of a JSON text, cheaply: what is before them shows shapes that need a closer look.

Braces are few, so numpy finds them, and only the bytes before them are compared. A whole file costs less than one percent
of its mapping. The result can be too much (a brace in a text), but never too little.
"""

import re
from enum import Flag, auto

import numpy as np

WRAPPERS = ("detail", "data", "payload", "after", "Item", "fields", "body")
"""Fields in which event buses, change feeds and exports put the record itself."""
SLICE = 256 * 1024
"""Bytes that are searched at once. They fit into the cache of a core."""
OVERLAP = 64
"""Bytes before a slice that are searched again: the longest name of a wrapper and its marks fit into them."""

_WRAPPED = re.compile(rf'"(?:{"|".join(WRAPPERS)})"\s*:\s*\{{'.encode())
_JOINED = re.compile(rb"\}[\s\x1e]*\{")
_BREAK_AFTER_COLON = re.compile(rb":(?:\s\s+|[\t\r\n])\{")
_WORDS = [name.encode() for name in WRAPPERS]
_BRACE, _CLOSING, _COLON, _COMMA, _QUOTE, _SPACE, _RETURN, _LINE_FEED = b'{}:," \r\n'


class Brace(Flag):
    """The characters before opening braces."""

    NONE = 0
    OF_WRAPPER = auto()
    """The name of a field in WRAPPERS."""
    IN_LINE = auto()
    """A closing brace in the same line: two objects follow each other."""
    IN_NEXT_LINE = auto()
    """The end of a line."""


def look_at_braces(buffer: bytes) -> Brace:
    """Return what is before the opening braces of a text."""
    begin = buffer[: 2 * OVERLAP]
    found = Brace.OF_WRAPPER if _WRAPPED.search(begin) else Brace.NONE
    found |= Brace.IN_LINE | Brace.IN_NEXT_LINE if _JOINED.search(begin) else Brace.NONE
    for place in range(0, len(buffer), SLICE):
        found |= _look(buffer, max(place - OVERLAP, 0), min(place + SLICE, len(buffer)))
    return found


def _look(buffer: bytes, begin: int, end: int) -> Brace:
    data = np.frombuffer(buffer, np.uint8, end - begin, begin)
    braces = np.flatnonzero(data == _BRACE)
    braces = braces[braces >= OVERLAP]
    before, two_before = data[braces - 1], data[braces - 2]
    is_spaced = before == _SPACE
    found = Brace.NONE
    if (before == _CLOSING).any():
        found |= Brace.IN_LINE
    if (is_line := before == _LINE_FEED).any():
        found |= Brace.IN_NEXT_LINE
    # White space that is neither the blank after a colon or comma, nor the end of a line of JSON Lines.
    is_line &= (two_before == _CLOSING) | ((two_before == _RETURN) & (data[braces - 3] == _CLOSING))
    if ((before <= _SPACE) & ~is_line & (two_before != _COLON) & (two_before != _COMMA)).any():
        found |= Brace.IN_LINE | Brace.IN_NEXT_LINE
        if _BREAK_AFTER_COLON.search(buffer, begin, end):
            found |= Brace.OF_WRAPPER
    colons = np.concatenate((braces[before == _COLON] - 1, braces[is_spaced & (two_before == _COLON)] - 2))
    if (data[colons - 1] != _QUOTE).any() or any(_ends_with(data, colons, word) for word in _WORDS):
        found |= Brace.OF_WRAPPER
    return found


def _ends_with(data: np.ndarray, colons: np.ndarray, word: bytes) -> bool:
    """Check whether a word in quotes is before one of the colons."""
    places = colons[data[colons - len(word) - 2] == _QUOTE]
    for distance, letter in enumerate(reversed(word), start=2):
        places = places[data[places - distance] == letter]
    return places.size > 0
