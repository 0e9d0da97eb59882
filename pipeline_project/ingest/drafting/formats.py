"""Find the formats in which all values of a column are written. Two formats that read a value differently are a question."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

from pipeline_project.ingest.drafting.samples import ColumnSample
from pipeline_project.ingest.mapping.converters import (
    NULL_TEXTS,
    UNREAD,
    NumberFormat,
    TimeFormat,
    fitting_formats,
    is_zero,
    iso_time,
)
from pipeline_project.sources.dialect import FieldFormat

_MARKS: tuple[tuple[str | None, str | None], ...] = (
    (None, None),
    (None, ","),
    (None, "'"),
    (",", None),
    (",", "."),
    (",", " "),
    (",", "'"),
    (None, " "),
)
"""Decimal mark and mark between groups, the most usual first."""
_MARK = r"[^\W\d]{1,4}|[^\w\s.,'+()%-]"
_UNIT = re.compile(
    rf"[+\-(]?\s*(?P<before>{_MARK})?\s*[\d.,' ]*\d[\d.,' ]*\s*(?P<behind>{_MARK})?\s*[\-)]?",
)
_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_HAS_ZONE = re.compile(r"(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$")
_LIKE_A_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SHOWN = 2


@dataclass
class Reading:
    """How the values of a column can be read."""

    format: FieldFormat = field(default_factory=FieldFormat)
    """The settings that read all values in the only way. Empty: nothing has to be declared."""
    evidence: str = ""
    ambiguous: list[tuple[FieldFormat, str]] = field(default_factory=list)
    """Settings that read all values, but not in the same way, each with an example."""
    unread: list[str] = field(default_factory=list)
    """Values that are written in no such format, with their places."""
    is_local: bool = False
    """True if times have no zone."""


def as_number(column: ColumnSample) -> Reading | None:
    """Judge a column of numbers. None if most values are no numbers."""
    texts = [text for text in column.texts if text and text not in NULL_TEXTS]
    readings = {each: numbers(each, texts) for each in _number_formats(texts)}
    return _judge(column, texts, readings)


def as_days(column: ColumnSample) -> Reading | None:
    """Judge a column of days. None if most values are no days."""
    return _judge_times(column, days_only=True)


def as_times(column: ColumnSample) -> Reading | None:
    """Judge a column of times. None if most values are no times."""
    return _judge_times(column, days_only=False)


def _judge_times(column: ColumnSample, *, days_only: bool) -> Reading | None:
    texts = [text for text in column.texts if text and text not in NULL_TEXTS and not is_zero(text)]
    if not texts:
        return None
    iso = {text: _iso(text) for text in texts}
    if None not in iso.values():
        return Reading(evidence="ISO 8601", is_local=any(not _has_zone(text) for text in texts))
    fitting = (name for text in texts[:_SHOWN] for name in fitting_formats(text, days_only=days_only))
    formats = list(dict.fromkeys(fitting))
    readings: dict[FieldFormat, dict[str, object]] = {}
    for name in formats:
        declared = FieldFormat(days=(name,)) if days_only else FieldFormat(times=(name,))
        read = TimeFormat(declared, days_only=days_only).single
        readings[declared] = {text: read(text) for text in texts}
    found = _judge(column, texts, readings)
    if found is not None and not days_only:
        found.is_local = not any(
            name in ("unix", "unix_ms", "msdate") or "%z" in name for name in found.format.times or ()
        )
    return found


def _judge(
    column: ColumnSample, texts: Sequence[str], readings: dict[FieldFormat, dict[str, object]]
) -> Reading | None:
    """Choose the format that reads all texts in the only way. Of formats that read them alike, the first counts."""
    if not texts:
        return Reading() if sum(column.kinds.values()) > column.kinds["str"] else None
    complete = {each: read for each, read in readings.items() if UNREAD not in read.values()}
    if not complete:
        best = max(
            readings, key=lambda each: sum(value is not UNREAD for value in readings[each].values()), default=None
        )
        unread = [text for text in texts if best is None or readings[best][text] is UNREAD]
        if best is None or len(unread) * 2 >= len(texts):
            return None
        return Reading(best, unread=[f'{column.texts[text]} "{text}"' for text in unread])
    different: dict[tuple[object, ...], FieldFormat] = {}
    for each, read in complete.items():
        different.setdefault(tuple(read.values()), each)
    if len(different) > 1:
        first, *others = different.values()
        text = next(text for text in texts if any(complete[other][text] != complete[first][text] for other in others))
        return Reading(
            ambiguous=[
                (each, f'"{text}" ({column.texts[text]}) is {_shown(complete[each][text])}')
                for each in different.values()
            ]
        )
    chosen = next(iter(complete))
    plain = readings.get(FieldFormat(), {})
    settling = next((text for text in texts if plain.get(text) is UNREAD), texts[0])
    return Reading(chosen, evidence=f'{column.texts[settling]} "{settling}"')


def _number_formats(texts: Iterable[str]) -> list[FieldFormat]:
    """Return formats of numbers that could fit, those with few settings first."""
    found = [match for text in list(texts)[:1000] if (match := _UNIT.fullmatch(text))]
    currency = tuple(dict.fromkeys(mark for match in found if (mark := match["before"] or match["behind"])))
    formats = [FieldFormat(decimal=decimal, group=group) for decimal, group in _MARKS]
    if any(text.endswith("-") for text in texts):
        formats += [replace(each, trailing_minus=True) for each in formats]
    if any(text.startswith("(") for text in texts):
        formats += [replace(each, parentheses=True) for each in formats]
    if currency:
        formats = [replace(each, currency=currency) for each in formats]
    return formats


def numbers(declared: FieldFormat, texts: Iterable[str]) -> dict[str, object]:
    """Return what texts mean as numbers in a format. UNREAD if a text is not written so."""
    read = NumberFormat(declared).single
    return {text: _decimal(read(text)) for text in texts}


def _decimal(value: object) -> object:
    """Return a number as one of equal values: 1.50 is 1.5."""
    if not isinstance(value, str):
        return value
    try:
        return Decimal(value).normalize()
    except InvalidOperation:
        return UNREAD


def _shown(value: object) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _iso(text: str) -> object:
    try:
        if _ISO_DAY.fullmatch(text):
            return date.fromisoformat(text)
        return None if _LIKE_A_NUMBER.fullmatch(text) else datetime.fromisoformat(iso_time(text))
    except ValueError:
        return None


def _has_zone(text: str) -> bool:
    return _HAS_ZONE.search(text) is not None or _ISO_DAY.fullmatch(text) is not None
