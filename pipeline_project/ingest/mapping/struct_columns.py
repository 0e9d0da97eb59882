"""Decodes many records at once into columns, one list of values for each field.

This is a hot path. It replaces dicts by structs that are made for the fields of the records. That takes two thirds of the time,
and the values of a field are read in one step. The property tests of the fast path hold it to the models.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
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
"""The values of a field as they were sent. An empty text stands for a field that was not sent, None for a null."""


class Fields:
    """A struct type with fields at these paths. If a path leads through another, the values of that field are structs, too."""

    def __init__(self, paths: tuple[Path, ...], *, no_others: bool = False) -> None:
        """`no_others`: refuse a record that has any other field. Otherwise other fields are skipped."""
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
    """Reader of a few fields of many records. It skips all other fields, and needs a fifth of the time of a full read."""

    def __init__(self, aliases: Mapping[str, Sequence[Path]]) -> None:
        """`aliases` are the paths of each field. The first path takes precedence."""
        self._aliases = aliases
        self._asked = dict.fromkeys(aliases, 1)
        """Number of aliases that are read for each field. It begins with one, because each alias takes time."""

    def read(self, records: Sequence[RawRecord]) -> dict[str, Column]:
        """Return, for each field, the value of the first alias that is present.

        Raises one of UNREADABLE if a record does not have this structure.
        """
        while True:
            found = self._read(records)
            more = [
                name
                for name, column in found.items()
                if self._asked[name] < len(self._aliases[name]) and not all(column) and any(map(is_missing, column))
            ]
            if not more:
                return found
            self._asked.update((name, len(self._aliases[name])) for name in more)

    def _read(self, records: Sequence[RawRecord]) -> dict[str, Column]:
        asked = {name: choices[: self._asked[name]] for name, choices in self._aliases.items()}
        fields = _with_others(tuple(chain.from_iterable(asked.values())))
        # Not map(): it would not let the thread of PostgreSQL run before its end.
        structs = [fields.decode(record) for record in records]
        return {name: coalesce(fields.column(structs, path) for path in choices) for name, choices in asked.items()}


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
