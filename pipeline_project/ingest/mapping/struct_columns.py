"""Records as columns: many are decoded at once, and of each field all values are looked at together.

Records are decoded into structs that are made for the fields they have. That takes two thirds of the time that dicts take,
and their values are at hand column by column.
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
"""The name of a field, or those that lead to it through nested objects."""
Column = list[Any]
"""The values of a field. As sent: "" where it was not, None for a null."""


class Fields:
    """Objects with fields at these paths, as structs. Where a path leads through another, that one's values are structs."""

    def __init__(self, paths: tuple[Path, ...], *, no_others: bool = False) -> None:
        """`no_others`: a record with any other field is not decoded. Else these are skipped."""
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
        """The values at a path."""
        name, *inner = path
        values = list(map(self._getters[name], structs))
        if not inner:
            return values
        nested = self._nested[name]
        empty = nested.struct()
        return nested.column([empty if value is None else value for value in values], tuple(inner))

    def structs(self, columns: Mapping[Path, Column], count: int) -> list[Any]:
        """So many objects, with what is not blank in these columns; encoded as JSON, they have no other fields."""
        if not columns:
            return [self.struct()] * count
        values: list[Column] = []
        for name in self._getters:
            if nested := self._nested.get(name):
                inner = {path[1:]: column for path, column in columns.items() if path[0] == name}
                filled = [not all(map(is_missing, each)) for each in zip(*inner.values(), strict=True)]
                objects = nested.structs(inner, count)
                values.append([each if fill else None for each, fill in zip(objects, filled, strict=True)])
            else:
                values.append(not_null(columns[name,]))
        return list(map(self.struct, *values))


@cache
def _with_others(paths: tuple[Path, ...]) -> Fields:
    """Records that may have others besides. Kept for the same reason as those of `exactly`: a load makes its mappers anew."""
    return Fields(paths)


@lru_cache(maxsize=64)
def exactly(paths: tuple[Path, ...]) -> Fields:
    """Records that have no other fields than these. Kept, since to make them takes longer than to decode a small file."""
    return Fields(paths, no_others=True)


class Projection:
    """Reads a few fields of many records and skips all else of them, which takes a fifth of reading them in full."""

    def __init__(self, aliases: Mapping[str, Sequence[Path]]) -> None:
        """`aliases` of each field, the preferred first."""
        self._aliases = aliases
        self._asked = dict.fromkeys(aliases, 1)
        """How many spellings of each field are asked for: the first alone until it was not enough, since each takes its time."""

    def read(self, records: Sequence[RawRecord]) -> dict[str, Column]:
        """Of each field, the value under the first of its spellings that is not blank.

        Raises one of UNREADABLE if a record is not made like that.
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
        # Not map(): it would keep PostgreSQL's thread waiting until it is through.
        structs = [fields.decode(record) for record in records]
        return {name: coalesce(fields.column(structs, path) for path in choices) for name, choices in asked.items()}


def coalesce(columns: Iterable[Column]) -> Column:
    """Of each record the first value that is not blank. No more columns are taken than that needs."""
    columns = iter(columns)
    taken = next(columns)
    while not all(taken) and (column := next(columns, None)) is not None:
        taken = [other if is_missing(value) else value for value, other in zip(taken, column, strict=True)]
    return taken


def is_missing(value: Any) -> bool:
    """Whether that counts as not sent."""
    return value is None or (type(value) is str and not value)


def is_all_missing(column: Column) -> bool:
    return not any(column) and all(map(is_missing, column))


def not_null(column: Column) -> Column:
    return ["" if value is None else value for value in column] if NoneType in set(map(type, column)) else column
