"""The fast path: maps common records column by column.

Common records have plain texts, numbers and ISO times within their bounds, or values in the formats that their source
declares, in at most one nested object. The result is the same as that of the models, at a fraction of the cost. Other
records are left out, and the models read them one by one. Tests compare the two.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from itertools import chain, combinations, compress
from types import NoneType
from typing import Any, NamedTuple, get_type_hints

import msgspec
from pydantic.fields import FieldInfo

from pipeline_project.ingest.decoding import UNREADABLE, RawRecord, decode
from pipeline_project.ingest.mapping.column_counts import ColumnCounts, count_columns
from pipeline_project.ingest.mapping.column_readers import (
    NUMBERS,
    declared_numbers,
    number_of_text,
    numbers,
    reader_of,
    times,
)
from pipeline_project.ingest.mapping.converters import Convert
from pipeline_project.ingest.mapping.copy_text import DEEPEST, depth, unstorable
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
)
from pipeline_project.schema.record import Record

FREQUENT = 8
"""A field becomes a column if more than one of this many records has it."""
MOST_FIELDS = 2_000
"""Most columns. A struct is made for them, which takes time."""
SAMPLE = 64
"""Number of records that show whether the next ones probably have a field."""

NO_CONTENT = frozenset({"deleted", "updated_at"})
"""Fields of a model that do not describe the entity. The quality score leaves them out."""

_SIMPLE = frozenset({str, bool, NoneType})
_NO_NAME = re.compile(r'["\\\x00-\x1f]')
"""Characters that the name of a struct's field cannot have."""


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
        readers = [reader_of(hints[name]) for name in self._names]
        self._aliases = [aliases[name] for name in self._names]
        paths = list(chain.from_iterable(self._aliases))
        self._nested = tuple(path for path in paths if len(path) > 1)
        self._outer = {outer for outer, *_ in self._nested}
        self._width = len(columns)
        self.complete = (
            None not in readers
            and not any(_has_more_to_say(model, name, defaults.get(name)) for name in self._names)
            # An attribute keeps a time as it was sent, and the model would write it in full.
            and times not in readers[self._width :]
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
            if field.is_judged and reader in NUMBERS:
                self._judged.append(place)
            if field.convert is not None and reader in NUMBERS and place < self._width:
                self._converted.append((place, field.convert))
                self._readers[place] = partial(declared_numbers, reader)
            elif field.convert is not None and reader in NUMBERS:
                self._converted.append((place, partial(_numbers_of, field.convert)))
            elif field.convert is not None:
                self._converted.append((place, field.convert))
            else:
                self._thorough.append((place, field.thorough))
                # An attribute must stay as it was sent: "7" is not 7.
                if reader in NUMBERS and place < self._width:
                    self._readers[place] = partial(numbers, reader)
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
            counts = Counter(chain.from_iterable(map(self._paths, unlike)))
            frequent = [path for path, count in counts.most_common() if count * FREQUENT > len(unlike)]
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
    return [number_of_text(value) if type(value) is str else value for value in convert(values)]


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
