"""The dialect of a source: how its files are written, as data.

A setting that is None is not declared: the file decides, as docs/ingestion.md says for each shape. `FieldFormat` says how
values are written, `Dialect` also how a file is built. The decoders and the mapping read these settings. No code that
reads files belongs here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Literal, Self

NAMED_FORMATS = ("iso", "unix", "unix_ms", "excel", "msdate")
"""Formats of days and times that no strptime code describes."""


@dataclass(frozen=True, kw_only=True)
class FieldFormat:
    """The format of values: of all fields of a source, or of one column."""

    decimal: str | None = None
    """The decimal mark, for example `,`."""
    group: str | None = None
    """The mark between groups of exactly three digits, for example `.`. A blank stands for any kind of blank."""
    trailing_minus: bool | None = None
    """Whether `100-` is -100."""
    parentheses: bool | None = None
    """Whether `(100)` is -100."""
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

    def over(self, base: "FieldFormat") -> Self:
        """Return this format, with the settings of `base` where this format declares nothing."""
        inherited = {
            each.name: getattr(base, each.name)
            for each in fields(base)
            if each.name in _FORMAT and getattr(self, each.name) is None
        }
        return replace(self, **inherited)


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
    """Whether `null_texts` also hold for texts of JSON and Parquet files."""
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
