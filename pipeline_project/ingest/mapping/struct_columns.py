"""Decodes many records at once into columns, one list of values for each field.

This is a hot path. It replaces dicts by structs that are made for the fields of the records. That takes two thirds of the time,
and the values of a field are read in one step. The property tests of the fast path hold it to the models.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from functools import cache, lru_cache
from itertools import chain
from operator import attrgetter
from types import NoneType
from typing import Any

import msgspec

from pipeline_project.ingest.decoding import RawRecord

Path = tuple[str, ...]
"""Names that lead to a field: its own, after those of the objects around it."""
Column = list[Any]
"""The values of a field as sent. A missing value is "", and a null is None."""


MOST_NAMES = 10_000
"""Names of fields that are remembered."""


class TwoValues(Enum):
    """The mark of a field that a record has twice. Only the models can read the record."""

    TWO_VALUES = "two values"


TWO_VALUES = TwoValues.TWO_VALUES

_names = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Fields:
    """Objects with fields at these paths, as structs. Nested objects are structs, too."""

    def __init__(self, paths: tuple[Path, ...], *, no_others: bool = False) -> None:
        """`no_others`: a record with any other field is not decoded. Otherwise, other fields are skipped."""
        self.paths = paths
        nested: dict[str, list[Path]] = {}
        for name, *inner in paths:
            nested.setdefault(name, []).extend([tuple(inner)] if inner else [])
        names = list(nested)
        self._nested = {name: Fields(tuple(inner), no_others=no_others) for name, inner in nested.items() if inner}
        fields = [  # a name of JSON need not be one of Python
            (f"_{i}", self._nested[name].struct | None, None) if name in self._nested else (f"_{i}", Any, "")
            for i, name in enumerate(names)
        ]
        self.struct = msgspec.defstruct(
            "Fields",
            fields,
            rename={f"_{i}": name for i, name in enumerate(names)},
            forbid_unknown_fields=no_others,
            omit_defaults=True,
            gc=False,
        )
        self._getters = {name: attrgetter(f"_{i}") for i, name in enumerate(names)}
        self.decode = msgspec.json.Decoder(self.struct, float_hook=Decimal).decode

    def column(self, structs: Sequence[Any], path: Path) -> Column:
        """Return the values at a path."""
        name, *inner = path
        values = list(map(self._getters[name], structs))
        if not inner:
            return values
        nested = self._nested[name]
        empty = nested.struct()
        return nested.column([empty if value is None else value for value in values], tuple(inner))

    def structs(self, columns: Mapping[Path, Column], count: int) -> list[Any]:
        """Return `count` structs with the present values of these columns. As JSON they have no other fields."""
        if not columns:
            return [self.struct()] * count
        values: list[Column] = []
        for name in self._getters:
            if nested := self._nested.get(name):
                inner = {path[1:]: column for path, column in columns.items() if path[0] == name}
                present = [not all(map(is_missing, each)) for each in zip(*inner.values(), strict=True)]
                objects = nested.structs(inner, count)
                values.append([each if has else None for each, has in zip(objects, present, strict=True)])
            else:
                values.append(not_null(columns[name,]))
        return list(map(self.struct, *values))


@cache
def _with_others(paths: tuple[Path, ...]) -> Fields:
    """Return the struct type of records that may have other fields. It is cached for the same reason as in `exactly`."""
    return Fields(paths)


@lru_cache(maxsize=64)
def exactly(paths: tuple[Path, ...]) -> Fields:
    """Return the struct type of records that have only these fields. It is cached: making it takes longer than a small file."""
    return Fields(paths, no_others=True)


class Projection:
    """Reads a few fields of many records and skips the others, which takes a fifth of the time of reading all fields."""

    def __init__(
        self, aliases: Mapping[str, Sequence[Path]], meant: Callable[[str], Path | None] | None = None
    ) -> None:
        """`aliases` of each field, the preferred alias first.

        `meant` returns the alias that a name is a variant of. Then all names of records that lack a field are looked up,
        which takes longer. Without it, only the variants of `add_variant` are known.
        """
        self._aliases = {name: list(paths) for name, paths in aliases.items()}
        self._meant = meant
        self._without_meaning = {path[0] for paths in aliases.values() for path in paths}
        """Names that are no variants of aliases. Records repeat their names, so each is looked up once."""
        self._variants: dict[Path, list[Path]] = {}
        self._asked = dict.fromkeys(aliases, 1)
        """How many aliases of each field are read: the first alone until it was not enough, since each takes its time."""

    def add_variant(self, alias: Path, name: str) -> None:
        """Read the value of an alias also under a variant of its name."""
        known = self._variants.setdefault(alias, [])
        if (name,) not in known:
            known.append((name,))

    def read(self, records: Sequence[RawRecord]) -> dict[str, Column]:
        """Return, for each field, the value under the first of its aliases that is present.

        A field that a record has under two variants becomes TWO_VALUES. Raises one of UNREADABLE if a record has another
        form.
        """
        return self.read_marked(records)[0]

    def read_marked(self, records: Sequence[RawRecord]) -> tuple[dict[str, Column], set[int]]:
        """Return the same, and the places of records with a value under a variant of an alias."""
        while True:
            found, marked = self._read(records)
            lacking = [name for name, column in found.items() if not all(column) and any(map(is_missing, column))]
            more = [name for name in lacking if self._asked[name] < len(self._aliases[name])]
            if more:
                self._asked.update((name, len(self._aliases[name])) for name in more)
            elif not lacking or not self._find_variants(records, [found[name] for name in lacking]):
                return found, marked

    def _find_variants(self, records: Sequence[RawRecord], lacking: Sequence[Column]) -> bool:
        """Look for variants of aliases in records that lack a field. Return whether there are new ones."""
        if self._meant is None:
            return False
        names: set[str] = set()
        for record, *values in zip(records, *lacking, strict=True):
            if any(map(is_missing, values)):
                names |= _names(record).keys() - self._without_meaning
        is_new = False
        for name in names:
            alias = self._meant(name)
            if alias is None:
                self._without_meaning.add(name)
            elif (name,) not in self._variants.get(alias, ()):
                self.add_variant(alias, name)
                is_new = True
        if len(self._without_meaning) > MOST_NAMES:
            self._without_meaning = {path[0] for paths in self._aliases.values() for path in paths}
        return is_new

    def _read(self, records: Sequence[RawRecord]) -> tuple[dict[str, Column], set[int]]:
        asked = {name: paths[: self._asked[name]] for name, paths in self._aliases.items()}
        variants = {
            name: [path for alias in self._aliases[name] for path in self._variants.get(alias, ())] for name in asked
        }
        fields = _with_others(tuple(chain.from_iterable((*asked.values(), *variants.values()))))
        # Not map(): it would not let the thread of PostgreSQL run before its end.
        structs = [fields.decode(record) for record in records]
        found = {name: coalesce(fields.column(structs, path) for path in choices) for name, choices in asked.items()}
        marked: set[int] = set()
        for name, paths in variants.items():
            if paths and not all(found[name]) and self._asked[name] == len(self._aliases[name]):
                exact = found[name]
                found[name] = _with_variants(exact, [fields.column(structs, path) for path in paths])
                pairs = zip(exact, found[name], strict=True)
                marked.update(place for place, (before, value) in enumerate(pairs) if before is not value)
        return found, marked


def _with_variants(exact: Column, variants: Sequence[Column]) -> Column:
    """Return the exact values, and where these are missing the only value of the variants. Two values become TWO_VALUES."""
    found: Column = []
    for value, *others in zip(exact, *variants, strict=True):
        present = [other for other in others if not is_missing(other)] if is_missing(value) else []
        found.append(value if not present else present[0] if len(present) == 1 else TWO_VALUES)
    return found


def coalesce(columns: Iterable[Column]) -> Column:
    """Return the first present value of each record. Read no more columns than necessary."""
    columns = iter(columns)
    taken = next(columns)
    while not all(taken) and (column := next(columns, None)) is not None:
        taken = [other if is_missing(value) else value for value, other in zip(taken, column, strict=True)]
    return taken


def is_missing(value: Any) -> bool:
    """Check whether a value counts as not sent."""
    return value is None or (type(value) is str and not value)


def is_all_missing(column: Column) -> bool:
    """Check whether no value of a column is present."""
    return not any(column) and all(map(is_missing, column))


def not_null(column: Column) -> Column:
    """Replace nulls by empty texts."""
    return ["" if value is None else value for value in column] if NoneType in set(map(type, column)) else column
