"""Bounds of the numbers that a sender may write.

They are checked before a number is converted. Otherwise the time and memory of a conversion grow with the exponent:
an integer from 1e-999999999 needs a power of ten with a billion digits.
"""

import re
from decimal import Decimal, InvalidOperation

LARGEST_EXPONENT = 300
LONGEST_NUMBER = 4_300
"""Digits. Python takes no integer of more, and PostgreSQL no fraction of four times as many."""
BITS_OF_INTEGER = 1024
"""Larger numbers are no measurements, and PostgreSQL would spell out every digit."""

_BEYOND = Decimal("Infinity")
# Possessive: if a match fails, it fails in linear time.
_PLAIN = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?")


def is_bounded(number: int | float | Decimal) -> bool:
    """Check that a number is within the bounds, so that any conversion takes little time and memory."""
    if type(number) is int:
        return number.bit_length() <= BITS_OF_INTEGER
    if isinstance(number, Decimal):
        return (
            number.is_finite()
            and abs(number.adjusted()) <= LARGEST_EXPONENT
            # The text has all digits and more. It takes a quarter of the time that the digits take.
            and (len(str(number)) <= LONGEST_NUMBER or len(number.as_tuple().digits) <= LONGEST_NUMBER)
        )
    return isinstance(number, float) or number.bit_length() <= BITS_OF_INTEGER


def read_number(text: str) -> Decimal:
    """Read a number of JSON exactly. Infinity stands for an exponent that no Decimal can hold."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return _BEYOND


def plain_number(text: str) -> Decimal | None:
    """Read a number that is written without separators and units. None for any other text."""
    return read_number(text) if _PLAIN.fullmatch(text) else None
