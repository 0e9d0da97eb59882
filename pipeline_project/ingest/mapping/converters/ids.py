"""IDs: repair that cannot change which thing an ID names, and the IDs that a spreadsheet has damaged.

`7` and `"7"` are the same ID. Zero-width characters and the two Unicode forms of one letter are invisible, so an ID has
neither. An ID that lost its digits, or that is a text for "no value", would make one thing of many.
"""

import re
import unicodedata
from decimal import Decimal
from typing import NamedTuple

from pipeline_project.ingest.mapping.converters.columns import Column, each_value
from pipeline_project.ingest.mapping.converters.texts import NULL_TEXTS
from pipeline_project.schema.numbers import is_bounded
from pipeline_project.sources.dialect import Dialect

LARGEST_EXACT = 2**53
"""Above, a float does not tell neighbouring integers apart."""

_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"
_REMOVED = dict.fromkeys(map(ord, _ZERO_WIDTH))
_LOST_DIGITS = re.compile(r"[+-]?[0-9](?:[.,][0-9]+[eE]\+?|[eE]\+)[0-9]{1,3}")
_DECIMALS = re.compile(r"([+-]?[0-9]+)\.(0+)")
_SALESFORCE = re.compile(r"[A-Za-z0-9]{15}")
_CHECK_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


class IdError(NamedTuple):
    """The reason why a text is no ID: a stable rule, and a sentence for people."""

    rule: str
    message: str


class IdFormat:
    """Converts IDs. A value that is damaged stays as it is, and `id_error` says why it is no ID."""

    def __init__(self, dialect: Dialect) -> None:
        self._strip_decimals = dialect.id_decimals == "strip"
        self._cleanup = dialect.id_cleanup or ()

    def __call__(self, values: Column) -> Column:
        """Convert a column. Ordinary IDs come back as the same column."""
        try:
            joined = "".join(values)
        except TypeError:
            return each_value(self.single, values)
        if self._cleanup or not joined.isascii() or (self._strip_decimals and "." in joined):
            return each_value(self.single, values)
        return values

    def single(self, value: object) -> object:
        """Convert one ID. An integral number below 2^53 is written without decimals."""
        if type(value) is Decimal:
            return int(value) if _is_integral(value) else value
        if type(value) is not str:
            return value
        text = value
        if not text.isascii():
            text = unicodedata.normalize("NFC", text.translate(_REMOVED))
        if self._strip_decimals and (found := _DECIMALS.fullmatch(text.strip())):
            text = found[1]
        for step in self._cleanup:
            text = _CLEANUPS[step](text.strip())
        return text


def id_error(value: object) -> IdError | None:
    """Return why a converted value cannot be an ID. None if it can, or if it is no text and no number."""
    if type(value) is Decimal:
        is_exact = "E" not in str(value) and -LARGEST_EXACT < value < LARGEST_EXACT
        return _WITH_DECIMALS if is_exact else _ROUNDED
    if type(value) is not str:
        return None
    text = value.strip()
    if _LOST_DIGITS.fullmatch(text):
        return _ROUNDED
    if _DECIMALS.fullmatch(text):
        return _WITH_DECIMALS
    if text in _NULLS:
        return IdError("null_text_as_id", f'"{text}" stands for a missing value. Send the ID.')
    return None


def has_doubtful_ids(values: Column) -> bool:
    """Return whether a column of texts may hold a text that is no ID."""
    joined = "\n".join(values)
    # IDs with hyphens are common, so each test is for one kind of damage.
    return (
        "." in joined
        or ("+" in joined and ("E+" in joined or "e+" in joined))
        or ("," in joined and _ROUNDED_COMMA.search(joined) is not None)
        or not _NULLS.isdisjoint(values)
    )


_NULLS = frozenset(variant for text in NULL_TEXTS for variant in (text, text.lower(), text.upper(), text.title()))
_ROUNDED_COMMA = re.compile(r"[0-9],[0-9]+[eE]")
_ROUNDED = IdError(
    "id_lost_digits",
    "The ID has lost digits, as spreadsheets do with long numbers. Format the column as text, and export again.",
)
_WITH_DECIMALS = IdError(
    "id_decimals",
    'The ID is written with decimals. Export it as text, or declare id_decimals = "strip" under [dialect].',
)


def _is_integral(value: Decimal) -> bool:
    # Numbers are compared only if they are bounded. Otherwise a comparison takes long, or fails.
    is_plain = is_bounded(value) and "E" not in str(value)
    return is_plain and -LARGEST_EXACT < value < LARGEST_EXACT and value == value.to_integral_value()


def _salesforce18(text: str) -> str:
    """Return the 18 characters of a Salesforce ID of 15. The last three say which letters are capital."""
    if not _SALESFORCE.fullmatch(text):
        return text
    groups = (text[begin : begin + 5] for begin in (0, 5, 10))
    marks = (sum(1 << place for place, letter in enumerate(group) if "A" <= letter <= "Z") for group in groups)
    return text + "".join(_CHECK_LETTERS[mark] for mark in marks)


_CLEANUPS = {
    "apostrophe": lambda text: text.removeprefix("'"),
    "salesforce18": _salesforce18,
    "upper": str.upper,
    "leading_zeros": lambda text: text.lstrip("0") or "0",
}
