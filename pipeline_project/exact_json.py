"""JSON that keeps every digit: decimals are numbers both ways.

The json module reads fractions as floats, and msgspec does the same and writes decimals as text.
"""

from decimal import Decimal
from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_SORTED_ENCODER = msgspec.json.Encoder(decimal_format="number", order="sorted")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


def encode(value: Any) -> bytes:
    """Write a value as JSON."""
    return _ENCODER.encode(value)


def encode_sorted(value: Any) -> bytes:
    """Write a value as JSON with the names of each object in order, so that equal values give equal bytes."""
    return _SORTED_ENCODER.encode(value)


def decode(data: bytes | str) -> Any:
    """Read JSON. Fractions become decimals. Raises ValueError."""
    return _DECODER.decode(data)


def plain(value: Any) -> Any:
    """Give a value with nothing in it but what JSON has: enumerations and times as text, decimals as they are."""
    return msgspec.to_builtins(value, builtin_types=(Decimal,))
