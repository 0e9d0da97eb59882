"""Values as text: JSON with exact numbers, and single values for files whose types do not include them."""

import re
from decimal import Decimal
from math import isfinite
from typing import Any

import msgspec

JSON = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
"""Encoder of rows. It writes NaN and infinity as null, so that `worded` is needed for them."""
MOST_DIGITS = 4_300
"""Digits in a row that a JSON number may have: as many as Python's `json` reads."""
_TOO_MANY_DIGITS = re.compile(rb"(?<![0-9])[0-9]{%d}" % (MOST_DIGITS + 1))
_STRIDE = 64
_SEEMS_TOO_MANY = re.compile(rb"(?<![0-9])[0-9]{%d}" % (MOST_DIGITS // _STRIDE))
_STRING_OR_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*+"|[-+.0-9eE]++')


def json_bytes(value: Any) -> bytes:
    """Encode as JSON, with decimals as numbers, digit for digit. What JSON has no form for becomes text."""
    body = JSON.encode(value)
    # A float that is no number has become null.
    if b"NaN" in body or b"Infinity" in body or b"null" in body:
        body = JSON.encode(worded(value))
    return readable(body)


def readable(body: bytes) -> bytes:
    """Write each number that has too many digits as text."""
    # So many digits in a row leave a run in each 64th byte, too. To look there first costs next to nothing.
    if not _SEEMS_TOO_MANY.search(body[::_STRIDE]) or not _TOO_MANY_DIGITS.search(body):
        return body
    return _STRING_OR_NUMBER.sub(_readable_token, body)


def _readable_token(token: re.Match[bytes]) -> bytes:
    found = token[0]
    return b'"%b"' % found if found[:1] != b'"' and _TOO_MANY_DIGITS.search(found) else found


def worded(value: Any) -> Any:
    """Give `value` with a word for each decimal and float that is not finite."""
    match value:
        case Decimal():
            return value if value.is_finite() else str(value)
        case float():
            return value if isfinite(value) else str(Decimal(value))
        case dict():
            return {name: worded(item) for name, item in value.items()}
        case list() | tuple():
            return [worded(item) for item in value]
        case _:
            return value


def as_text(value: Any) -> str:
    """Return a value as text if the file has no type for it: ISO 8601 for times, JSON for arrays and JSON."""
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    text = json_bytes(value).decode()
    return msgspec.json.decode(text) if text.startswith('"') and not isinstance(value, msgspec.Raw) else text


_STRING_OR_ANY_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*+"|-?[0-9][-+.0-9eE]*+')


def with_numbers_as_text(body: bytes) -> bytes:
    """Write each number as text, in JSON columns, too."""
    return _STRING_OR_ANY_NUMBER.sub(lambda token: token[0] if token[0][:1] == b'"' else b'"%b"' % token[0], body)
