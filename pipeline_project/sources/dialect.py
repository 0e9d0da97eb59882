"""The dialect of a source: how its files are written, as data.

A setting that is None is not declared: the file decides, as docs/ingestion.md says for each shape. `FieldFormat` says how
values are written, `Dialect` also how a file is built. The decoders and the mapping read these settings. No code that
reads files belongs here.
"""

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import combinations
from typing import Literal, Self
from zoneinfo import ZoneInfo

NAMED_FORMATS = ("iso", "unix", "unix_ms", "excel", "msdate")
"""Formats of days and times that no strptime code describes."""
CODES = ("%Y", "%y", "%m", "%d", "%b", "%B", "%H", "%I", "%M", "%S", "%f", "%p", "%z", "%%")
"""The codes of strptime that a format can have."""


SAME_MARKS = 'the decimal mark also separates groups. Declare two marks, for example decimal = "," and group = ".".'


class DialectError(ValueError):
    """A setting that is wrong or contradicts another one. `setting` names it."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(f"{setting}: {message}")
        self.setting = setting


@dataclass(frozen=True, kw_only=True)
class FieldFormat:
    """The format of values: of all fields of a source, or of one column."""

    decimal: str | None = None
    """The decimal mark, for example `,`."""
    group: str | None = None
    """The mark between groups of exactly three digits, for example `.`. A blank stands for any kind of blank."""
    trailing_minus: bool | None = None
    """True if `100-` is -100."""
    parentheses: bool | None = None
    """True if `(100)` is -100."""
    currency: tuple[str, ...] | None = None
    """Texts before or after a number that are removed, for example `EUR`."""
    percent: Literal["reject", "share", "points"] | None = None
    """What `12%` is: an error, 0.12 (`share`), or 12 (`points`)."""
    days: tuple[str, ...] | None = None
    """Formats of days: strptime codes, `iso` or `excel`."""
    times: tuple[str, ...] | None = None
    """Formats of times: strptime codes, `iso`, `unix`, `unix_ms`, `excel` or `msdate`."""
    zone: str | None = None
    """The time zone of times that name none, for example `Europe/Berlin`."""
    doubtful: Literal["reject", "earlier", "later"] | None = None
    """What to do with a local time that occurs twice or never, at a change of the clocks."""
    zero_days: Literal["null", "reject"] | None = None
    """What `0000-00-00` and `00000000` are: not sent, or an error."""
    true: tuple[str, ...] | None = None
    """Texts of flags that mean true."""
    false: tuple[str, ...] | None = None
    """Texts of flags that mean false. An empty text stands for a flag that was not sent."""
    null_texts: tuple[str, ...] | None = None
    """Texts that count as not sent. They replace the usual ones."""

    def __post_init__(self) -> None:
        for setting, message in self._errors():
            raise DialectError(setting, message)

    @property
    def is_of_nulls(self) -> bool:
        """Return whether it declares nothing but `null_texts`."""
        return self == FieldFormat(null_texts=self.null_texts)

    def over(self, base: "FieldFormat") -> Self:
        """Return this format, with the settings of `base` where this format declares nothing.

        The mark between groups of `base` does not count if it is the decimal mark here.
        """
        inherited = {
            each.name: getattr(base, each.name)
            for each in fields(base)
            if each.name in _FORMAT and getattr(self, each.name) is None
        }
        if "group" in inherited and "decimal" not in inherited and inherited["group"] == self.decimal:
            del inherited["group"]
        return replace(self, **inherited)

    def _errors(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong: a setting, and a sentence with the remedy."""
        if self.decimal is not None and (len(self.decimal) != 1 or self.decimal.isalnum() or self.decimal in " +-"):
            yield "decimal", f'"{self.decimal}" is not a decimal mark. Use one character, for example ",".'
        if self.group and (len(self.group) != 1 or self.group.isalnum() or self.group in "+-"):
            yield "group", f'"{self.group}" cannot separate groups of digits. Use one character, for example ".".'
        if self.group and self.group == self.decimal:
            yield "group", SAME_MARKS
        for text in self.currency or ():
            if not text.strip() or any(character.isdigit() for character in text):
                yield (
                    "currency",
                    f'"{text}" is not the name of a currency. Use a text without digits, for example "EUR".',
                )
        for setting, named in (("days", ("iso", "excel")), ("times", NAMED_FORMATS)):
            formats: tuple[str, ...] = getattr(self, setting) or ()
            yield from ((setting, message) for each in formats if (message := _format_error(each, named)) is not None)
            for one, other in combinations(formats, 2):
                if (text := _read_differently(one, other)) is not None:
                    yield setting, f'"{one}" and "{other}" read "{text}" as different days. Keep one of them.'
        if self.zone is not None and not _is_zone(self.zone):
            yield (
                "zone",
                f'"{self.zone}" is not a time zone. Use a name of the IANA database, for example "Europe/Berlin".',
            )
        for text in {*(self.true or ())} & {*(self.false or ())}:
            yield "true", f'"{text}" means true and false. Remove it from one of the lists.'


_FORMAT = frozenset(each.name for each in fields(FieldFormat))


@dataclass(frozen=True, kw_only=True)
class Dialect(FieldFormat):
    """The way in which a source writes its files: the format of its values, and the structure of a file."""

    encoding: str | None = None
    """The encoding of texts, for example `cp1252`."""
    delimiter: str | None = None
    """The text between cells of a CSV file: 1 to 3 characters."""
    quote: str | None = None
    """The mark around cells of a CSV file. An empty text: cells have no quotes."""
    escape: str | None = None
    """The mark before a quote inside a cell. An empty text: the quote is doubled."""
    comment: str | None = None
    """The text with which lines begin that are no rows."""
    skip_lines: int | None = None
    """How many lines are above the header."""
    header_lines: int | None = None
    """How many lines name the columns. 0: `columns` names them. 2: the names of both lines are joined."""
    columns: tuple[str, ...] | None = None
    """The names of the columns of a file without a header."""
    footer: tuple[str, ...] | None = None
    """Regular expressions of lines at the end of a file that are no rows."""
    short_rows: Literal["reject", "fill"] | None = None
    """What to do with a row that has fewer cells than the header."""
    records: str | None = None
    """The path to the array of records in a JSON document. `.`: the document is one record."""
    record: str | None = None
    """The path to the record in each element. Outer fields stay where the inner record has none of their name."""
    null_texts_in_json: bool | None = None
    """True if `null_texts` also hold for texts of JSON and Parquet files."""
    deleted_if_filled: tuple[str, ...] | None = None
    """Fields that mark a deleted record if they have a value."""
    id_decimals: Literal["reject", "strip"] | None = None
    """What to do with the ID `12345.0`."""
    id_cleanup: tuple[Literal["apostrophe", "salesforce18", "upper", "leading_zeros"], ...] | None = None
    """What is repaired in IDs."""
    key_fields: tuple[str, ...] | None = None
    """Folders of the key that are fields of each record: `country` is the value of the folder `country=DE`."""
    ignore_keys: tuple[str, ...] | None = None
    """Patterns of keys of objects that are not loaded, for example `**/manifest.json`."""
    require: tuple[str, ...] | None = None
    """Columns without which a file is refused."""
    bad_field: Literal["keep", "reject_record"] | None = None
    """What an optional value that cannot be read costs: the field, or the record."""
    sheet: str | None = None
    """The sheet of a workbook."""
    fields: Mapping[str, FieldFormat] = field(default_factory=dict, hash=False)
    """Exceptions by column."""

    def __post_init__(self) -> None:
        # An empty value of these settings means that the file decides, as if the setting were not declared.
        for setting in ("encoding", "comment", "records", "record", "sheet", "zone", "columns"):
            if not getattr(self, setting):
                object.__setattr__(self, setting, None)
        super().__post_init__()

    def _errors(self) -> Iterator[tuple[str, str]]:
        yield from super()._errors()
        if self.encoding is not None and not _is_encoding(self.encoding):
            yield "encoding", f'"{self.encoding}" is not an encoding. Use a name such as "cp1252" or "utf-8".'
        if self.delimiter is not None and not 1 <= len(self.delimiter) <= MOST_DELIMITER:
            yield "delimiter", "A delimiter has 1 to 3 characters."
        for setting in ("quote", "escape"):
            if len(getattr(self, setting) or "") > 1:
                yield setting, "Use one character, or an empty text for none."
        if self.delimiter is not None and self.delimiter == self.quote:
            yield "quote", "The delimiter and the quote are the same. Use another quote."
        for setting in ("skip_lines", "header_lines"):
            if (getattr(self, setting) or 0) < 0:
                yield setting, "Use a number that is not negative."
        for text in self.footer or ():
            try:
                re.compile(text)
            except re.error as error:
                yield "footer", f'"{text}" is not a regular expression: {error}. Correct it.'

    def over(self, base: FieldFormat) -> Self:
        """Return this dialect, with the settings of `base` where this dialect declares nothing."""
        merged = super().over(base)
        if not isinstance(base, Dialect):
            return merged
        inherited = {name: getattr(base, name) for name in _STRUCTURE if getattr(self, name) is None}
        undeclared = FieldFormat()
        columns = {
            name: self.fields.get(name, undeclared).over(base.fields.get(name, undeclared))
            for name in (*base.fields, *(name for name in self.fields if name not in base.fields))
        }
        return replace(merged, **inherited, fields=columns)

    def format_of(self, names: Iterable[str]) -> FieldFormat:
        """Return the format of a field that has these names: its exceptions, and else the settings for all fields."""
        general = FieldFormat(**{name: getattr(self, name) for name in _FORMAT})
        own = next((self.fields[name] for name in names if name in self.fields), None)
        return general if own is None else own.over(general)


MOST_DELIMITER = 3
"""Characters of a delimiter."""


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # unknown names are KeyErrors
        return False
    return True


def _is_encoding(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding  # pyright: ignore[reportAttributeAccessIssue]
    except LookupError:
        return False


def _format_error(pattern: str, named: tuple[str, ...]) -> str | None:
    """Return what is wrong with the format of a day or time."""
    if pattern in named:
        return None
    codes = re.findall("%.?", pattern)
    if unknown := [code for code in codes if code not in CODES]:
        return f'"{pattern}" has the code {unknown[0]}, which is not supported. Use {", ".join(CODES)}.'
    lacking = not {"%Y", "%y"} & {*codes} or "%d" not in codes or not {"%m", "%b", "%B"} & {*codes}
    if lacking:
        return (
            f'"{pattern}" has no year, month and day. Use a format such as "%d.%m.%Y", or one of: {", ".join(named)}.'
        )
    if ("%I" in codes) != ("%p" in codes):
        return f'"{pattern}" needs %I and %p together, or %H alone.'
    return None


def _read_differently(one: str, other: str) -> str | None:
    """Return a text that two formats read as different days, for example `%d/%m/%Y` and `%m/%d/%Y`."""
    one, other = ("%Y-%m-%d" if each == "iso" else each for each in (one, other))
    if one in NAMED_FORMATS or other in NAMED_FORMATS:
        return None
    for moment in (datetime(2003, 2, 1, tzinfo=UTC), datetime(2011, 10, 12, tzinfo=UTC)):
        for pattern, reader in ((one, other), (other, one)):
            text = moment.strftime(pattern)
            try:
                read = datetime.strptime(text, reader)  # noqa: DTZ007 only the day is compared
            except ValueError:
                continue
            if read.date() != moment.date():
                return text
    return None


_STRUCTURE = frozenset(each.name for each in fields(Dialect)) - _FORMAT - {"fields"}
UNDECLARED = Dialect()


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A dialect of some objects of a source, merged over the dialect of the source."""

    keys: str
    """A pattern of keys, for example `sap-data/2023/**`."""
    dialect: Dialect

    def fits(self, key: str) -> bool:
        """Return whether an object with this key is written in this variant."""
        return key_pattern(self.keys).fullmatch(key) is not None


@lru_cache(maxsize=1024)
def key_pattern(glob: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern of keys: `*` and `?` stay in a folder, `**` goes into all folders below."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces: list[str] = re.findall(r"\*\*/|\*\*|[*?]|[^*?]+", glob)
    return re.compile("".join(parts.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)
