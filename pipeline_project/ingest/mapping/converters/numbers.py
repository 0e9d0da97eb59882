"""Numbers in a declared format, as plain numbers: 1.234,56- becomes -1234.56.

A column is joined to one text. One possessive pattern proves that all its values are written in the format, and a few
replacements make all of them plain. This takes a fifth of the time that one call for each value takes.
"""

import re
from collections.abc import Iterator
from decimal import Decimal

from pipeline_project.ingest.mapping.converters.columns import UNREAD, Column, each_value
from pipeline_project.schema.numbers import LONGEST_NUMBER
from pipeline_project.sources.dialect import FieldFormat

_BLANKS = " \u00a0\u2009\u202f"
"""Blanks that stand between groups of digits."""
_APOSTROPHES = "'\u2019"


class NumberFormat:
    """Converts numbers that are written in a declared format to plain numbers, as texts without superfluous digits.

    Values that are no texts stay as they are.
    """

    def __init__(self, declared: FieldFormat) -> None:
        self._decimal = declared.decimal or "."
        self._groups = {" ": _BLANKS, "'": _APOSTROPHES}.get(declared.group or "", declared.group or "")
        self._percent = declared.percent or "reject"
        group, point = (f"[{re.escape(self._groups)}]" if self._groups else "(?!)"), re.escape(self._decimal)
        # Fifteen digits and six decimals keep all bounds of amounts.
        body = rf"(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}}){{1,4}}|[0-9]{{1,15}})(?:{point}[0-9]{{1,6}})?"
        behind = "-?" if declared.trailing_minus else ""
        self._column = re.compile(rf"(?:(?:[+-]?{body}{behind})?\n)*+")
        self._table = str.maketrans({**dict.fromkeys(self._groups), self._decimal: "."})
        # A group counts only where it separates three digits.
        digits = rf"[0-9]{{1,3}}(?:{group}[0-9]{{3}})++|[0-9]++"
        self._digits = re.compile(rf"((?:{digits})(?:{point}[0-9]*+)?|{point}[0-9]++)(?:[eE]([+-]?[0-9]{{1,4}}))?")
        currency = "|".join(map(re.escape, sorted(declared.currency or (), key=len, reverse=True)))
        blank = f"[{_BLANKS}]*+"
        self._single = re.compile(
            rf"(?P<open>\()?(?P<before>[+-]?){blank}(?:(?:{currency or '(?!)'}){blank})?(?P<inner>[+-]?)"
            rf"(?P<number>[0-9{re.escape(self._groups + self._decimal)}eE+-]*?[0-9{re.escape(self._decimal)}])"
            rf"(?P<behind>-?){blank}(?P<percent>%?)(?:{blank}(?:{currency or '(?!)'}))?(?P<later>-?)(?P<close>\))?"
        )
        self._trailing_minus, self._parentheses = bool(declared.trailing_minus), bool(declared.parentheses)

    def __call__(self, values: Column) -> Column:
        """Convert a column."""
        texts = self.together(values)
        return each_value(self.single, values) if texts is None else texts

    def together(self, values: Column) -> Column | None:
        """Convert a column of texts that are all written in the format and have at most 15 digits. None if they are not."""
        try:
            joined = "\n".join(values) + "\n"
        except TypeError:
            return None
        if not self._column.fullmatch(joined) or joined.count("\n") != len(values):
            return None
        if "-\n" in joined and _SIGN_TWICE.search(joined):
            return None
        text = joined.translate(self._table) if len(self._groups) > 1 else self._plain(joined)
        if "+" in text:
            text = text.replace("+", "")
        if "-\n" in text:
            text = _SIGN_BEHIND.sub(r"-\1\n", text)
        if "." in text and "0\n" in text:
            for zeros in _ZEROS_BEHIND:
                text = zeros.sub("\n", text)
        text = text.replace(".\n", "\n")
        if text.startswith("0") or "\n0" in text or "-0" in text:
            text = _ZEROS_BEFORE.sub("", f"\n{text}")[1:].replace("-0\n", "0\n")
        return text.split("\n")[:-1]

    def _plain(self, text: str) -> str:
        if self._groups:
            text = text.replace(self._groups, "")
        return text if self._decimal == "." else text.replace(self._decimal, ".")

    def single(self, value: object) -> object:
        """Convert one value. UNREAD if it is a text in another format."""
        if type(value) is not str:
            return value
        text = value.strip()
        if not text:
            return ""
        if len(text) > LONGEST_NUMBER or not (found := self._single.fullmatch(text)):
            return UNREAD
        number = self._digits.fullmatch(found["number"])
        in_brackets = found["open"] is not None
        signs = found["before"] + found["inner"] + found["behind"] + found["later"]
        if (
            number is None
            or len(signs) > 1
            or in_brackets != (found["close"] is not None)
            or (in_brackets and (signs or not self._parentheses))
            or ((found["behind"] or found["later"]) and not self._trailing_minus)
            or (found["percent"] and self._percent == "reject")
        ):
            return UNREAD
        plain = number[1].translate(self._table)
        exponent = int(number[2] or 0) - (2 if found["percent"] and self._percent == "share" else 0)
        if exponent:
            plain = f"{plain}E{exponent}"
            if abs(exponent) > _LARGEST_SPELLED_OUT:
                return UNREAD
            plain = format(Decimal(plain), "f")
        return _canonical(("-" if in_brackets or signs == "-" else "") + plain)


_LARGEST_SPELLED_OUT = 300
_SIGN_TWICE = re.compile(r"(?m)^[+-].*-$")
_SIGN_BEHIND = re.compile(r"(?m)^([0-9.]+)-\n")
# Without groups: a replacement that names one calls Python for each match.
_ZEROS_BEHIND = [re.compile(rf"(?<=\.[0-9]{{{places}}})0+\n") for places in range(6)]
_ZEROS_BEFORE = re.compile(r"(?:(?<=\n)|(?<=\n-))0+(?=[0-9])")


def _canonical(plain: str) -> str:
    """Return a plain number without superfluous zeros, as equal numbers are to be equal texts."""
    sign, digits = ("-", plain[1:]) if plain.startswith("-") else ("", plain)
    whole, _, fraction = digits.partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    number = f"{whole}.{fraction}" if fraction else whole
    return number if number == "0" else sign + number


_PROPOSED = (
    FieldFormat(decimal=","),
    FieldFormat(decimal=",", group="."),
    FieldFormat(group=","),
    FieldFormat(decimal=",", group=" "),
    FieldFormat(group="'"),
    FieldFormat(trailing_minus=True),
    FieldFormat(decimal=",", group=".", trailing_minus=True),
    FieldFormat(parentheses=True),
    FieldFormat(group=",", parentheses=True),
    FieldFormat(percent="share"),
    FieldFormat(decimal=",", percent="share"),
)
_UNIT = re.compile(
    r"(?P<before>[^\W\d]{1,4}|[^\w\s.,'+()%-])?\s*(?P<rest>[+(-]?[0-9](?:.*?[0-9)-])?)\s*(?P<behind>[^\W\d]{1,4}|[^\w\s.,'+()%-])?"
)


def proposals(text: str) -> Iterator[str]:
    """Yield the settings that would read a text as a number, as a declaration spells them. Few settings come first."""
    text = text.strip()[:100]
    unit = _UNIT.fullmatch(text)
    mark = (unit["before"] or unit["behind"]) if unit else None
    currency = (mark,) if mark else None
    seen: set[object] = set()
    for each_format in (FieldFormat(), *_PROPOSED):
        declared = FieldFormat(currency=currency).over(each_format)
        value = NumberFormat(declared).single(text)
        if value is not UNREAD and value not in seen:
            seen.add(value)
            if settings := spelled(declared):
                yield settings


def spelled(declared: FieldFormat) -> str:
    """Return settings of numbers as a declaration in TOML spells them."""
    found: list[str] = []
    for name in ("decimal", "group", "trailing_minus", "parentheses", "currency", "percent"):
        value = getattr(declared, name)
        if value is True:
            found.append(f"{name} = true")
        elif isinstance(value, tuple):
            texts = ", ".join(f'"{text}"' for text in value)
            found.append(f"{name} = [{texts}]")
        elif value is not None:
            found.append(f'{name} = "{value}"')
    return " and ".join(found)
