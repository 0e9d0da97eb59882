"""Texts that stand for no value, texts of flags, and what spreadsheets put around a text."""

import re
import unicodedata
from collections.abc import Iterable

from pipeline_project.ingest.mapping.converters.columns import UNREAD, Column, each_value

NULL_TEXTS_OF_CELLS = frozenset({"\\N", "NULL", "#N/A", "(null)"})
"""Texts that programs write into a cell without a value, and that no person would type."""
NULL_TEXTS = NULL_TEXTS_OF_CELLS | {"N/A", "NA", "None", "NaN", "nan", "null", "nil", "NaT", "<NA>", "n/a", "-"}
"""The same of numbers, times and flags, which none of these can be."""

_FORMULA = re.compile(r'="((?:[^"]|"")*)"')
"""A text as a formula, which keeps a spreadsheet from reading it as a number."""
USUAL_FLAGS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
"""How most programs write flags."""


_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"))
"""Characters without width that no language needs inside of a text."""


def normal_form(values: Column) -> Column:
    """Convert a column to the composed Unicode form (NFC), without invisible characters."""
    try:
        joined = "".join(values)
    except TypeError:
        return each_value(normal_form_of, values)
    if joined.isascii() or normal_form_of(joined) == joined:
        return values
    return each_value(normal_form_of, values)


def normal_form_of(value: object) -> object:
    """Convert one value in the same way."""
    if type(value) is not str or value.isascii():
        return value
    return unicodedata.normalize("NFC", value.translate(_INVISIBLE))


def unwrapped(text: str) -> str:
    """Return the text inside of a spreadsheet's formula, for example `00124` of `="00124"`."""
    found = _FORMULA.fullmatch(text)
    return found[1].replace('""', '"') if found else text


class FlagFormat:
    """Converts texts of flags to true and false. Without declared texts, other texts stay as they are."""

    def __init__(self, true: Iterable[str] | None, false: Iterable[str] | None) -> None:
        declared = {**dict.fromkeys(true or (), True), **dict.fromkeys(false or (), False)}
        self._known: dict[str, object] = {**(declared or USUAL_FLAGS), "": ""}
        self.is_declared = bool(declared)

    def __call__(self, values: Column) -> Column:
        """Convert a column."""
        flags = self.together(values)
        return each_value(self.single, values) if flags is None else flags

    def together(self, values: Column) -> Column | None:
        """Convert a column of known texts. None if there are other values."""
        try:
            return [self._known[value] for value in values]
        except (KeyError, TypeError):
            return None

    def single(self, value: object) -> object:
        """Convert one value. UNREAD if texts are declared and it is another text."""
        if type(value) is not str:
            return value
        unknown = UNREAD if self.is_declared else value
        return self._known.get(value, self._known.get(value.strip(), unknown))
