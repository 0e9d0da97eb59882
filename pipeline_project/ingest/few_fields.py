"""Reads a few fields of many records and skips all else of them, which takes a fifth of reading them in full."""

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec

from pipeline_project.ingest.json_records import RawRecord
from pipeline_project.ingest.ordinary import Column, is_blank

Path = tuple[str, ...]
Getter = Callable[[Any], Any]


class FewFields:
    """Of each field, the value under the first of its spellings that was sent and is not blank."""

    def __init__(self, spellings: Mapping[str, Sequence[Path]]) -> None:
        """`spellings` of each field, the preferred first; several names of one lead into nested objects."""
        type_, getters = _struct({path for choices in spellings.values() for path in choices})
        self._decode = msgspec.json.Decoder(type_, float_hook=Decimal).decode
        self._getters = {name: [getters[path] for path in choices] for name, choices in spellings.items()}

    def read(self, records: Sequence[RawRecord]) -> dict[str, Column]:
        """Each field's values, "" where it was not sent. Raises one of UNREADABLE if a record is not made like that."""
        # Not map(): it would keep PostgreSQL's thread waiting until it is through.
        seen = [self._decode(record) for record in records]
        return {name: _first_sent(seen, getters) for name, getters in self._getters.items()}


def _struct(paths: Collection[Path]) -> tuple[type[msgspec.Struct], dict[Path, Getter]]:
    """What decodes these values and skips all others; and how to get each out of it."""
    fields: list[tuple[str, Any, None]] = []
    names = sorted({name for name, *_ in paths})
    getters: dict[Path, Getter] = {}
    for i, name in enumerate(names):
        get = attrgetter(f"_{i}")  # a name of JSON need not be one of Python
        getters[name,] = get
        type_: Any = Any
        if inner := {path[1:] for path in paths if path[0] == name and len(path) > 1}:
            nested, inner_getters = _struct(inner)
            getters.update({(name, *path): _within(get, get_inner) for path, get_inner in inner_getters.items()})
            type_ = nested | None
        fields.append((f"_{i}", type_, None))
    return msgspec.defstruct("Fields", fields, rename={f"_{i}": name for i, name in enumerate(names)}), getters


def _within(get: Getter, get_inner: Getter) -> Getter:
    return lambda record: None if (value := get(record)) is None else get_inner(value)


def _first_sent(records: Sequence[Any], getters: Sequence[Getter]) -> Column:
    first = list(map(getters[0], records))
    if all(first):
        return first
    return [next((value for get in getters if not is_blank(value := get(record))), "") for record in records]
