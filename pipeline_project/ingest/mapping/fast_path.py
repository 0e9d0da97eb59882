"""The fast path: maps common records column by column.

Common records have plain texts, numbers and ISO times within their bounds, or values in the formats that their source
declares, in at most one nested object. The result is the same as that of the models, at a fraction of the cost. Other
records are left out, and the models read them one by one. Tests compare the two.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import chain, combinations, compress
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import msgspec
import numpy as np
import numpy.typing as npt
from pydantic.fields import FieldInfo

from pipeline_project.ingest.decoding import UNREADABLE, RawRecord, decode
from pipeline_project.ingest.mapping.column_counts import ColumnCounts, count_columns
from pipeline_project.ingest.mapping.converters import Convert, NumberFormat, has_doubtful_ids, id_error
from pipeline_project.ingest.mapping.copy_text import DEEPEST, depth, share_text, unstorable
from pipeline_project.ingest.mapping.reading import Reading, judged
from pipeline_project.ingest.mapping.rows import ColumnsSeen, Doubt
from pipeline_project.ingest.mapping.struct_columns import (
    Column,
    Fields,
    Path,
    coalesce,
    exactly,
    is_all_missing,
    is_missing,
    not_null,
)
from pipeline_project.schema.fields import (
    FIRST_DAY,
    ID_LENGTH,
    LAST_DAY,
    Amount,
    Count,
    Day,
    Id,
    Label,
    MetricDay,
    Money,
    Share,
    Structure,
    Text,
    Time,
    in_utc,
)
from pipeline_project.schema.record import Record
from pipeline_project.sources.dialect import FieldFormat

Read = Callable[[Column], Column]
"""Reads a column of sent values. A missing value becomes "", and a value that only the models can read becomes None."""

DIGITS = 18
"""A number of no more characters keeps all bounds of Money and Amount."""
CHARACTERS_OF_SHARE = 40
"""More than any float has. The models check the bounds of longer numbers."""
FREQUENT = 8
"""A field becomes a column if more than one of this many records has it."""
MOST_FIELDS = 2_000
"""Most columns. A struct is made for them, which takes time."""
SAMPLE = 64
"""Number of records that show whether the next ones probably have a field."""

NO_CONTENT = frozenset({"deleted", "updated_at"})
"""Fields of a model that do not describe the entity. The quality score leaves them out."""

NO_TIME = np.iinfo(np.int64).max
"""The mark of a time that only the models can read, among microseconds."""

_SIMPLE = frozenset({str, bool, NoneType})
_ZONED_TIMES = list[Annotated[datetime, msgspec.Meta(tz=True)]]
_NO_NAME = re.compile(r'["\\\x00-\x1f]')
"""Characters that the name of a struct's field cannot have."""
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,6}")
_UTC_SECONDS = len("2025-01-31T10:00:00Z")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""The moment from which PostgreSQL counts time."""
_MICROSECOND = timedelta(microseconds=1)
_SINCE_1970 = (_EPOCH - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)


def _text(length: int) -> Read:
    within = list[Annotated[str, msgspec.Meta(max_length=length)]]

    def read(values: Column) -> Column:
        try:
            msgspec.convert(values, within)
        except msgspec.ValidationError:
            values = not_null(values)
            values = [value if type(value) is str and len(value) <= length else None for value in values]
            return [value if value is None or value == value.strip() else None for value in values]
        if list(map(str.strip, values)) != values:
            return [value if value == value.strip() else None for value in values]
        return values

    return read


_short_text = _text(ID_LENGTH)


def _labels(values: Column) -> Column:
    """Read short texts. An integer of at most 64 bits is one, too."""
    if int in set(map(type, values)):
        values = [str(value) if type(value) is int and -(2**63) <= value < 2**64 else value for value in values]
    return _short_text(values)


def ids(values: Column) -> Column:
    """Read IDs: texts, or integers of at most 64 bits. Texts that cannot be an ID are left to the models."""
    texts = _labels(values)
    if None not in texts and not has_doubtful_ids(texts):
        return texts
    return [None if text is None or id_error(text) else text for text in texts]


def unquoted(values: Column) -> Column:
    """Turn texts that are plain numbers into numbers. All numbers of a CSV file are texts."""
    if str not in set(map(type, filter(None, values))):
        return values
    return [_plain_number(value) if type(value) is str else value for value in values]


def _plain_number(text: str) -> Any:
    if _INTEGER.fullmatch(text):
        return int(text)
    return Decimal(text) if _DECIMAL.fullmatch(text) else text


def _money(values: Column) -> Column:
    """Read numbers as COPY text."""
    return [_number(value) for value in values]


def _number(value: Any) -> str | None:
    # Comparing a Decimal with a text takes a microsecond.
    if type(value) is not Decimal and type(value) is not int:
        return "" if is_missing(value) else None
    text = str(value)
    if len(text) > DIGITS or "E" in text:
        return None
    if text[-1] == "0" and "." in text:
        text = text.rstrip("0").rstrip(".")
    return None if text == "-0" else text


def _amount(values: Column) -> Column:
    return [None if text is not None and text[:1] == "-" else text for text in _money(values)]


def _count(values: Column) -> Column:
    return [
        str(value) if type(value) is int and 0 <= value <= 2**53 else "" if is_missing(value) else None
        for value in values
    ]


def _share(values: Column) -> Column:
    return [
        share_text(float(text))
        if type(value) in (int, Decimal)
        and 0 <= value <= 1
        and len(text := str(value)) <= CHARACTERS_OF_SHARE
        and "E" not in text
        else ("" if is_missing(value) else None)
        for value in values
    ]


def _structure(values: Column) -> Column:
    """Read objects and arrays. They stay as they are."""
    return [
        (value if depth(value) < DEEPEST and not unstorable(value) else None)
        if type(value) in (dict, list)
        else ("" if is_missing(value) else None)
        for value in values
    ]


def _flag(values: Column) -> Column:
    return [value if type(value) is bool else "" if is_missing(value) else None for value in values]


def _day(values: Column) -> Column:
    values = not_null(values)
    try:
        msgspec.convert([value for value in values if value != ""], list[date])
    except msgspec.ValidationError:
        return [value if value == "" or _is_day(value) else None for value in values]
    return values


def _is_day(value: Any) -> bool:
    try:
        msgspec.convert(value, date)
    except msgspec.ValidationError:
        return False
    return True


def _metric_day(values: Column) -> Column:
    first, last = FIRST_DAY.isoformat(), LAST_DAY.isoformat()
    return [None if value and not first <= value <= last else value for value in _day(values)]


def _moments(values: Column) -> Column:
    """Read times or days of ISO 8601, as datetimes in UTC. A time without a zone is in UTC."""
    return _utc_seconds(values) or ["" if is_missing(value) else _moment(value) for value in values]


def _utc_seconds(values: Column) -> list[datetime] | None:
    """Return the times if all of them look like "2025-01-31T10:00:00Z", which is the usual form."""
    try:
        if set(map(len, values)) == {_UTC_SECONDS}:
            return msgspec.convert(values, _ZONED_TIMES)
    except (TypeError, msgspec.ValidationError):
        pass
    return None


def microseconds(values: Column, default: int) -> npt.NDArray[np.int64]:
    """Return times as PostgreSQL has them: since the beginning of 2000. `default` stands for a missing time.

    A time that only the models can read becomes NO_TIME.
    """
    if _utc_seconds(values) is not None:
        with suppress(ValueError):  # for example a small "t"
            texts = np.frombuffer("".join(values).encode(), f"S{_UTC_SECONDS}").astype(f"S{_UTC_SECONDS - 1}")
            return texts.astype("datetime64[us]").astype(np.int64) - _SINCE_1970
    counted = (default if time == "" else NO_TIME if time is None else microsecond(time) for time in _moments(values))
    return np.fromiter(counted, np.int64, len(values))


def microsecond(time: datetime) -> int:
    """Return the microseconds since the beginning of 2000."""
    return (time - _EPOCH) // _MICROSECOND


def _moment(value: Any) -> datetime | None:
    if type(value) is not str or not _TIMESTAMP.fullmatch(value):
        return None
    try:
        return in_utc(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return None


def _times(values: Column) -> Column:
    """Read times, each as (datetime, ISO text). Formatting each datetime would take five times as long."""
    return [
        time and (time, f"{value[:10]}T{value[11:19]}+00:00" if len(value) == _UTC_SECONDS else time.isoformat())
        for time, value in zip(_moments(values), values, strict=True)
    ]


_READERS: list[tuple[Any, Read]] = [
    (Id, ids),
    (Label, _labels),
    (Text, _text(10_000)),
    (Money, _money),
    (Amount, _amount),
    (Count, _count),
    (Share, _share),
    (Structure, _structure),
    (Day, _day),
    (MetricDay, _metric_day),
    (Time, _times),
    (bool, _flag),
]

_PLAIN_NUMBERS = NumberFormat(FieldFormat())
_NUMBERS = (_money, _amount, _count, _share)


def _numbers(usual: Read, values: Column) -> Column:
    """Read a column of numbers without a declared format. All numbers of a CSV file are texts."""
    if type(next(filter(None, values), None)) is str and (texts := _PLAIN_NUMBERS.together(values)) is not None:
        return _declared_numbers(usual, texts)
    return usual(unquoted(values))


def _declared_numbers(usual: Read, texts: Column) -> Column:
    """Read a column of plain numbers without superfluous digits. They are COPY text already. `usual` has their bounds."""
    if set(map(type, texts)) != {str} or max(map(len, texts)) > DIGITS:
        return [_declared_number(usual, text) for text in texts]
    if usual is _share:
        return [text and (share_text(float(text)) if 0 <= float(text) <= 1 else None) for text in texts]
    joined = "" if usual is _money else "".join(texts)
    if "-" in joined or (usual is _count and "." in joined):
        return [_declared_number(usual, text) for text in texts]
    return texts


def _declared_number(usual: Read, value: Any) -> Any:
    """Read one such number, or a number that was sent as a number."""
    if type(value) is str and len(value) > DIGITS:
        return None
    return usual(unquoted([value]))[0]


class FastColumns(NamedTuple):
    """The columns of the records that were read. All lists have one length."""

    places: list[int]
    """The places of the records in their chunk."""
    columns: list[Column]
    """COPY text, except flags, structures and times. No column has None."""
    attributes: list[Any]
    """Everything else that was sent, as objects to be encoded."""
    missing: list[int]
    """How many fields of the model were not sent, without those of NO_CONTENT."""
    decoded: list[int]
    """Places of the records that could be decoded."""
    counts: ColumnCounts
    """The columns of the decoded records, as sent."""
    names: Sequence[str]
    """All fields of the model, also those without a column."""
    with_gaps: Mapping[str, Column]
    """The values of fields that some of the records do not have. A missing value is ""."""
    doubtful: frozenset[int]
    """Places in the chunk of records with numbers that can be read in two ways."""
    doubts: list[tuple[int, Doubt]]
    """These numbers, each with the place of its record in the chunk."""
    settled: set[str]
    """Fields in which a number shows what a point means."""
    nulls: list[int]
    """The place in the chunk of each text that stands for no value."""
    renamed: dict[str, str]
    """Name that is a variant of an alias -> its field."""
    from_variants: dict[str, set[int]]
    """Field -> the places in the chunk of records that have its value under such a name."""

    def note(self, seen: ColumnsSeen, first_ordinal: int, rows: Sequence[int]) -> None:
        """Add what was found to what was seen of the object. `rows`: the ordinals of the records that became rows."""
        seen.settled |= self.settled
        seen.add_doubts((first_ordinal + place, doubt) for place, doubt in self.doubts)
        seen.renamed |= self.renamed
        if len(rows) == len(self.places):
            missing = {name: column.count("") for name, column in self.with_gaps.items()}
        else:
            ordinals = {*rows}
            kept = [first_ordinal + place in ordinals for place in self.places]
            missing = {name: list(compress(column, kept)).count("") for name, column in self.with_gaps.items()}
        seen.filled.update({name: len(rows) - missing.get(name, 0) for name in self.names})
        if self.nulls:
            ordinals = {*rows}
            seen.nulls += sum(first_ordinal + place in ordinals for place in self.nulls)


class FastPath:
    """Reads common records of one model.

    `complete` is false if only pydantic can read the model, because the model declares more than the types and bounds of
    schema/fields.py.
    """

    def __init__(
        self,
        model: type[Record],
        aliases: Mapping[str, Sequence[Path]],
        columns: Sequence[str],
        defaults: Mapping[str, Any],
        reading: Reading,
    ) -> None:
        """`columns` are the fields to return as columns. Other fields become attributes under their canonical names.

        `defaults` are defaults of the model that the caller fills in. Here, these fields are missing.
        """
        hints = get_type_hints(model, include_extras=True)
        self._names = [*columns, *(name for name in aliases if name not in columns)]
        readers = [_reader(hints[name]) for name in self._names]
        self._aliases = [aliases[name] for name in self._names]
        paths = list(chain.from_iterable(self._aliases))
        self._nested = tuple(path for path in paths if len(path) > 1)
        self._outer = {outer for outer, *_ in self._nested}
        self._width = len(columns)
        self.complete = (
            None not in readers
            and not any(_has_more_to_say(model, name, defaults.get(name)) for name in self._names)
            # An attribute keeps a time as it was sent, and the model would write it in full.
            and _times not in readers[self._width :]
            # Only columns are checked for missing values.
            and not any(model.model_fields[name].is_required() for name in self._names[self._width :])
            and all(len(path) <= 2 for path in paths)
            and len(set(paths)) == len(paths)
            and self._outer.isdisjoint([*(path[0] for path in paths if len(path) == 1), *self._names[self._width :]])
        )
        self._readers = [reader for reader in readers if reader is not None]
        self._reading = reading
        self._judged: list[int] = []
        self._converted: list[tuple[int, Convert]] = []
        self._thorough: list[tuple[int, Convert]] = []
        for place, (name, reader) in enumerate(zip(self._names, self._readers, strict=False)):
            field = reading.fields[name]
            if field.is_judged and reader in _NUMBERS:
                self._judged.append(place)
            if field.convert is not None and reader in _NUMBERS and place < self._width:
                self._converted.append((place, field.convert))
                self._readers[place] = partial(_declared_numbers, reader)
            elif field.convert is not None and reader in _NUMBERS:
                self._converted.append((place, partial(_numbers_of, field.convert)))
            elif field.convert is not None:
                self._converted.append((place, field.convert))
            else:
                self._thorough.append((place, field.thorough))
                # An attribute must stay as it was sent: "7" is not 7.
                if reader in _NUMBERS and place < self._width:
                    self._readers[place] = partial(_numbers, reader)
        self._spelled = {path[0] for path in paths}
        self._content = [
            place for place, name in enumerate(self._names) if name not in NO_CONTENT and name not in defaults
        ]
        # The fields of the records before. The next records probably have the same fields.
        self._expected = self._nested

    def read(self, records: Sequence[RawRecord], places: Sequence[int], *, thorough: bool = False) -> FastColumns:
        """Read the records at `places`, as far as they are common.

        `thorough`: numbers, days and times without a declared format are converted, too. This takes longer.
        """
        has_signs = self._reading.has_signs([records[place] for place in places])
        places, columns, rests = self._decoded(records, places)
        decoded, counts = places, ColumnCounts(len(places), count_columns(columns, rests))
        nulls: list[int] = []
        if has_signs:
            columns, rests = self._without_signs(columns, rests, nulls)
        left_out = set[int]()
        renamed: dict[str, str] = {}
        choices, from_variants = self._with_variants(columns, left_out, renamed)
        with_others = {place for place, paths in enumerate(choices) if sum(path in columns for path in paths) > 1}
        sent = [_take(columns, paths) or [""] * len(places) for paths in choices]
        for place, convert in (*self._converted, *(self._thorough if thorough else ())):
            if not any(sent[place]):
                continue  # only missing values, or zeros that are numbers already
            before, sent[place] = sent[place], convert(sent[place])
            if sent[place] is not before and "" in sent[place]:
                empty = [i for i, value in enumerate(sent[place]) if value == "" and not is_missing(before[i])]
                nulls += empty
                # Perhaps the field has a value under its next alias.
                left_out.update(empty if place in with_others else ())
        for name, column in zip(self._names[self._width :], sent[self._width :], strict=True):
            columns[name,] = coalesce([column, columns[name,]]) if (name,) in columns else column
        read = [reader(column) for reader, column in zip(self._readers, sent, strict=True)]
        # A column that came back unchanged has no None.
        unsure = [column for column, before in zip(read, sent, strict=True) if column is not before and None in column]
        left_out.update(i for column in unsure for i, value in enumerate(column) if value is None)
        left_out.update(i for path, column in columns.items() for i in _unusual(column, len(path)))
        left_out.update(_unusual(rests, 0))
        nulls = [places[i] for i in nulls]
        from_variants = {name: {places[i] for i in some} for name, some in from_variants.items()}
        if left_out:
            kept = [i not in left_out for i in range(len(places))]
            places = list(compress(places, kept))
            sent = [list(compress(column, kept)) for column in sent]
            read = [list(compress(column, kept)) for column in read]
            columns = {path: list(compress(column, kept)) for path, column in columns.items()}
            rests = list(compress(rests, kept))
        found, settled = self._judge(sent, choices)
        doubts = [(places[i], doubt) for i, doubt in found]
        with_gaps = {place for place, column in enumerate(read) if not all(column)}
        gaps = [read[place] for place in self._content if place in with_gaps]
        return FastColumns(
            places,
            read[: self._width],
            _objects(columns, rests, len(places)),
            [values.count("") for values in zip(*gaps, strict=True)] if gaps else [0] * len(places),
            decoded,
            counts,
            self._names,
            {self._names[place]: read[place] for place in with_gaps},
            frozenset(place for place, _ in doubts),
            doubts,
            settled,
            nulls,
            renamed,
            from_variants,
        )

    def _without_signs(
        self, columns: dict[Path, Column], rests: list[dict[str, Any]], nulls: list[int]
    ) -> tuple[dict[Path, Column], list[dict[str, Any]]]:
        """Remove texts that stand for no value, and the formulas around texts."""
        cleaned: dict[Path, Column] = {}
        for path, column in columns.items():
            cleaned[path] = self._reading.texts(path[0], column) if len(path) == 1 else column
            pairs = zip(cleaned[path], column, strict=True)
            nulls += (i for i, (value, before) in enumerate(pairs) if value == "" and not is_missing(before))
        found = [{name: self._reading.text(name, value) for name, value in rest.items()} for rest in rests]
        nulls += (i for i, rest in enumerate(found) for value in rest.values() if value == "")
        return cleaned, [{name: value for name, value in rest.items() if value != ""} for rest in found]

    def _with_variants(
        self, columns: Mapping[Path, Column], left_out: set[int], renamed: dict[str, str]
    ) -> tuple[list[Sequence[Path]], dict[str, set[int]]]:
        """Return the paths of each field: its aliases, and variants of them that these records have.

        Also return, for each field with variants, the records that have its value under one of them. Records that mark a
        deletion by a filled field, and those with two variants of one alias, are left out.
        """
        variants: dict[tuple[str, Path], list[Path]] = {}
        for path, column in columns.items():
            name, *inner = path
            if inner or name in self._spelled:
                continue
            if self._reading.marks_deleted(name):
                left_out.update(i for i, value in enumerate(column) if not is_missing(value))
            elif (meant := self._reading.alias(name)) is not None:
                variants.setdefault((meant[0].name, meant[1]), []).append(path)
        if not variants:
            return list(self._aliases), {}
        choices: list[Sequence[Path]] = list(self._aliases)
        from_variants: dict[str, set[int]] = {}
        for (name, _), paths in sorted(variants.items(), key=self._preference):
            place = self._names.index(name)
            for one, other in combinations(paths, 2):
                both = zip(columns[one], columns[other], strict=True)
                left_out.update(i for i, pair in enumerate(both) if not any(map(is_missing, pair)))
            renamed.update((path[0], name) for path in paths)
            exact = [columns[path] for path in self._aliases[place] if path in columns]
            unsent = coalesce(exact) if exact else [""] * len(columns[paths[0]])
            for path in paths:
                pairs = enumerate(zip(unsent, columns[path], strict=True))
                from_variants.setdefault(name, set()).update(
                    i for i, (before, value) in pairs if is_missing(before) and not is_missing(value)
                )
            choices[place] = (*choices[place], *paths)
        return choices, from_variants

    def _preference(self, variant: tuple[tuple[str, Path], list[Path]]) -> int:
        (name, alias), _ = variant
        return self._reading.fields[name].paths.index(alias)

    def _judge(
        self, sent: Sequence[Column], choices: Sequence[Sequence[Path]]
    ) -> tuple[list[tuple[int, Doubt]], set[str]]:
        """Return the numbers that can be read in two ways, by place, and the fields that show what a point means."""
        doubts: list[tuple[int, Doubt]] = []
        settled: set[str] = set()
        for place in self._judged:
            settles, found = judged(sent[place])
            name = self._names[place]
            if settles:
                settled.add(name)
            doubts += ((i, Doubt(name, ".".join(choices[place][0]), sent[place][i])) for i in found)
        return doubts, settled

    def _decoded(
        self, records: Sequence[RawRecord], places: Sequence[int]
    ) -> tuple[list[int], dict[Path, Column], list[dict[str, Any]]]:
        """Decode records. Return the places of those that are objects, columns of frequent fields, and all other fields.

        The list of other fields is empty if no record has any.
        """
        fields = exactly(self._expected)
        rests: list[dict[str, Any]] = []
        try:
            structs = [fields.decode(records[place]) for place in places]
        except UNREADABLE:
            fields, found, rests = self._decoded_singly([records[place] for place in places])
            readable = [struct is not None for struct in found]
            places, structs = list(compress(places, readable)), list(compress(found, readable))
            rests = list(compress(rests, readable))
        columns = {path: fields.column(structs, path) for path in fields.paths}
        used = [path for path, column in columns.items() if not all(map(is_missing, column[:SAMPLE]))]
        self._expected = tuple(dict.fromkeys((*self._nested, *used)))
        return list(places), columns, rests

    def _decoded_singly(self, records: Sequence[RawRecord]) -> tuple[Fields, list[Any], list[dict[str, Any]]]:
        """Decode records of which some have unexpected fields. Return the frequent fields, and each record as a struct of
        these and the rest. The struct is None if only the models can read the record.
        """
        fields = exactly(self._expected)
        structs = [_or_none(fields.decode, record) for record in records]
        unlike = [record for record, struct in zip(records, structs, strict=True) if struct is None]
        if len(unlike) * FREQUENT > len(records):
            times = Counter(chain.from_iterable(map(self._paths, unlike)))
            frequent = [path for path, count in times.most_common() if count * FREQUENT > len(unlike)]
            fields = exactly(tuple(dict.fromkeys((*self._expected, *frequent)))[:MOST_FIELDS])
            structs = [_or_none(fields.decode, record) for record in records]
        rests: list[dict[str, Any]] = [{} for _ in records]
        for i, record in enumerate(records):
            if structs[i] is None:
                structs[i], rests[i] = self._with_rest(fields, record)
        return fields, structs, rests

    def _with_rest(self, fields: Fields, record: RawRecord) -> tuple[Any, dict[str, Any]]:
        """Return a record as a struct, and the fields that are not in the struct."""
        values = _or_none(decode, record)
        if type(values) is dict:
            names = values.keys() - {name for name, *_ in fields.paths}
            rest = {name: value for name in names if not is_missing(value := values.pop(name))}
            if self._spelled.isdisjoint(names) and not any(map(self._is_meant, names)):
                return _or_none(partial(msgspec.convert, type=fields.struct), values), rest
        return None, {}

    def _is_meant(self, name: str) -> bool:
        """Return whether a name that is no alias still decides something."""
        return self._reading.alias(name) is not None or self._reading.marks_deleted(name)

    def _paths(self, record: RawRecord) -> list[Path]:
        """Return the fields of a record that a struct can have."""
        fields = _or_none(decode, record)
        if type(fields) is not dict:
            return []
        within = {name: fields.pop(name) for name in self._outer & fields.keys()}
        paths = [(name, inner) for name, values in within.items() if type(values) is dict for inner in values]
        return [path for path in [*((name,) for name in fields), *paths] if not _NO_NAME.search("".join(path))]


def _take(columns: dict[Path, Column], choices: Sequence[Path]) -> Column | None:
    """Return the first value that is present under these paths, for each record. Other values stay in the columns."""
    taken: Column | None = None
    for path in choices:
        if path not in columns:
            continue
        column = columns.pop(path)
        if taken is None or is_all_missing(taken):
            taken = column
        elif not is_all_missing(column):
            columns[path] = ["" if is_missing(before) else value for before, value in zip(taken, column, strict=True)]
            taken = coalesce([taken, column])
    return taken


def _unusual(column: Column, outer: int) -> list[int]:
    """Return the places of values that are nested too deeply within `outer` objects, or may have a number that is too large."""
    if set(map(type, column)) <= _SIMPLE:
        return []
    return [
        i
        for i, value in enumerate(column)
        if type(value) not in _SIMPLE and (outer + depth(value) > DEEPEST or unstorable(value))
    ]


def _objects(columns: Mapping[Path, Column], rests: Sequence[dict[str, Any]], count: int) -> list[Any]:
    """Return `count` objects to be encoded, with the present values of these columns and the rests."""
    paths = tuple(path for path in sorted(columns) if not is_all_missing(columns[path]))
    objects = exactly(paths).structs({path: columns[path] for path in paths}, count)
    if not any(rests):
        return objects
    return [
        {**rest, **msgspec.to_builtins(each, builtin_types=(Decimal,))} if rest else each
        for each, rest in zip(objects, rests, strict=True)
    ]


def _numbers_of(convert: Convert, values: Column) -> Column:
    """Convert numbers in a declared format to numbers. Attributes hold them as such."""
    return [_plain_number(value) if type(value) is str else value for value in convert(values)]


def _or_none(read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except UNREADABLE:
        return None


def _has_more_to_say(model: type[Record], name: str, known_default: Any) -> bool:
    """Return whether a model declares more of a field than its type: bounds, another default, a validator."""
    field = model.model_fields[name]
    if field.metadata != FieldInfo.from_annotation(get_type_hints(model, include_extras=True)[name]).metadata:
        return True
    is_own = name not in Record.model_fields
    if (
        is_own
        and not field.is_required()
        and field.get_default(call_default_factory=True, validated_data={}) != known_default
    ):
        return True
    return _validators(model) != _validators(Record) or model.model_config != Record.model_config


def _validators(model: type[Record]) -> set[str]:
    found = model.__pydantic_decorators__
    return {*found.field_validators, *found.validators, *found.model_validators, *found.root_validators}


def is_bounded_type(hint: Any) -> bool:
    """Check that a type of schema/fields.py bounds the numbers that a valid value can hold."""
    return _reader(hint) not in (None, _structure)


def number_reader(hint: Any) -> Read:
    """Return what reads numbers of a type of schema/fields.py. Of any other type, only the models can read values."""
    reader = _reader(hint)
    return reader if reader in _NUMBERS and reader is not None else lambda values: [None] * len(values)


def _reader(hint: Any) -> Read | None:
    alternatives = [each for each in get_args(hint) if each is not NoneType] if NoneType in get_args(hint) else [hint]
    if len(alternatives) != 1:
        return None
    return next((reader for type_, reader in _READERS if type_ == alternatives[0]), None)
