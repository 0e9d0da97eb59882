"""Take a record out of the object that wraps it, as events and change feeds do.

Where nothing is declared, a record that can be read in two ways refuses the file.
"""

import re
from collections.abc import Iterator

import msgspec

from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.json_braces import WRAPPERS, Brace
from pipeline_project.ingest.decoding.json_envelopes import Found, ambiguous, elsewhere, has_id, known_fields
from pipeline_project.ingest.decoding.json_values import UNREADABLE, raw_fields
from pipeline_project.ingest.decoding.records import Chunk, RawRecord
from pipeline_project.ingest.decoding.window import Window

_encode = msgspec.json.Encoder().encode
_WRAPPED = re.compile(rf'"(?:{"|".join(WRAPPERS)})"\s*:\s*\{{'.encode())


def unwrapped(chunks: Iterator[Chunk], path: str) -> Iterator[Chunk]:
    """Yield the records inside of others. Outer fields stay where the inner record has no field of their name."""
    steps = path.split(".")
    for chunk in chunks:
        chunk.records = [
            record if place in chunk.flaws else _inner(record, steps) for place, record in enumerate(chunk.records)
        ]
        yield chunk


def _inner(record: RawRecord, steps: list[str]) -> RawRecord:
    """Return the record inside. A record that has none, for example a deletion with `after: null`, stays as it is."""
    merged: dict[str, msgspec.Raw] = {}
    try:
        fields = raw_fields(record)
        for step in steps:
            inner = raw_fields(fields[step])
            merged.update((name, value) for name, value in fields.items() if name != step)
            fields = inner
    except (KeyError, *UNREADABLE):
        return record
    return _encode({**merged, **fields})


def checked(chunks: Iterator[Chunk], window: Window, names: FieldNames) -> Iterator[Chunk]:
    """Yield chunks as they are. Raises ObjectFault for a record whose own ID and that of a wrapped object both can count."""
    for chunk in chunks:
        if Brace.OF_WRAPPER in window.braces:
            for place, record in enumerate(chunk.records):
                if _WRAPPED.search(record):
                    _check(record, names, is_first=chunk.first_ordinal + place == 1, line=chunk.line(place))
        yield chunk


def _check(record: RawRecord, names: FieldNames, *, is_first: bool, line: int | None) -> None:
    try:
        fields = raw_fields(record)
        own = known_fields(fields, names) if has_id(fields, names) else 0
        for name in WRAPPERS:
            inner = raw_fields(fields[name]) if bytes(fields.get(name, b"")).startswith(b"{") else {}
            if not has_id(inner, names):
                continue
            found = Found(name, known_fields(inner, names), is_array=False)
            if own and found.known >= own:
                raise ambiguous(found, names, line or 1)
            if not own and is_first:
                raise elsewhere(found, line or 1)
    except UNREADABLE:
        return
