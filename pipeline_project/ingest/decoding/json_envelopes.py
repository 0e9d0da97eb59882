"""Find the records of a JSON document that is one object: it is an envelope around an array of records, or one record.

The field `records` holds the records, unless another path is declared. Without it, the names of IDs decide. If an object
can be read as a record and as an envelope, the file is refused with both readings.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.json_arrays import array_chunks, pieces
from pipeline_project.ingest.decoding.json_braces import WRAPPERS
from pipeline_project.ingest.decoding.json_values import UNREADABLE, decode_any_number, raw_fields, raw_list
from pipeline_project.ingest.decoding.records import OVERSIZE, Chunk, Envelope
from pipeline_project.ingest.decoding.window import Window

KEPT_FIELDS = ("metadata", "summary", "sourceSystem")
"""Fields of an envelope that are kept in addition to its records."""
MORE_PAGES = (
    *("next", "nextPage", "next_page", "nextLink", "@odata.nextLink", "nextRecordsUrl"),
    *("next_page_token", "nextPageToken", "next_cursor", "nextCursor"),
)
"""Fields that only an unfinished page has a value for."""
UNFINISHED = {"done": b"false", "has_more": b"true", "hasMore": b"true", "isLast": b"false"}
"""Fields that an unfinished page has with this value."""
PAGING = ("paging", "pagination", "links", "_links")
"""Objects in which an unfinished page has the field `next`."""
JUDGED_ELEMENTS = 5
"""Elements of an array that are looked at."""
DEEPEST_SEARCH = 4

# Letters of "records" can be escaped. This is rare, but then a search for the plain name misses a second "records".
_ESCAPED_LETTER = re.compile(rb"\\u00[67]")
_MISSING = (b"null", b'""')
_NEXT = re.compile(rb'"next"\s*:\s*+(?!null|""|false)')

Fields = Mapping[str, msgspec.Raw]


class Found(NamedTuple):
    """A place in which records can be: its path, the number of known fields there, and whether it is an array."""

    path: str
    known: int
    is_array: bool

    @property
    def setting(self) -> str:
        """Return the setting that takes the records from here."""
        return f'`records = "{self.path}"`' if self.is_array else f'`record = "{self.path}"`'


def object_chunks(window: Window, envelope: Envelope, names: FieldNames, declared: str | None) -> Iterator[Chunk]:
    """Yield the records of a document that is an object. `declared`: the path to the records; `.` is the object itself."""
    path = ["records"] if declared is None else [] if declared == "." else declared.split(".")
    if window.ended:
        try:
            fields = raw_fields(window.buffer[window.position :])
            place = _place(fields, path, names, declared)
            records = raw_list(_at(fields, place)) if place and not _may_repeat(window, fields, path) else None
            kept = {name: decode_any_number(fields[name]) for name in KEPT_FIELDS if place and name in fields}
        except UNREADABLE:
            pass  # the scanner finds the error again, with its place
        else:
            if records is not None:
                envelope.format, envelope.fields = "envelope", kept
                _note_envelope(
                    envelope, place, {name: bytes(value) for name, value in fields.items() if name != place[0]}
                )
                first = window.buffer.find(f'"{place[-1]}"'.encode())
                yield from pieces(window, list(records), max(first, window.position))
                window.position = len(window.buffer)
                return
            if not place:
                envelope.format = "object"
                line = window.line()
                yield Chunk(0, [window.buffer[window.position :].rstrip()], line=lambda _: line)
                window.position = len(window.buffer)
                return
    yield from _Walk(window, envelope, names, declared).chunks(path)


def _may_repeat(window: Window, fields: Fields, path: Sequence[str]) -> bool:
    """Return whether the field of the records can occur more than once. Then the scanner reads the object field by field."""
    if not path or path[0] not in fields:
        return False
    return window.buffer.count(f'"{path[-1]}"'.encode()) > 1 or _ESCAPED_LETTER.search(window.buffer) is not None


def _at(fields: Fields, path: Sequence[str]) -> msgspec.Raw:
    for step in path[:-1]:
        fields = raw_fields(fields[step])
    return fields[path[-1]]


def _place(fields: Fields, path: list[str], names: FieldNames, declared: str | None) -> list[str]:
    """Return the path of the records. It is empty if the object is a record."""
    if declared is None and "records" not in fields:
        found = envelope_of(fields, names)
        return [] if found is None else [found]
    if declared is not None and path and not _has_array(fields, path):
        raise no_records(declared)
    return path


def _has_array(fields: Fields, path: Sequence[str]) -> bool:
    try:
        return bytes(_at(fields, path)).startswith(b"[")
    except (KeyError, *UNREADABLE):
        return False


def no_records(declared: str) -> ObjectFault:
    """Return the error of a document that lacks the declared array."""
    return ObjectFault(
        "no_records",
        f"the document has no array at {declared!r}: correct `records` under `[dialect]`",
        line=1,
        column=1,
    )


def envelope_of(fields: Fields, names: FieldNames) -> str | None:
    """Return the field that holds the records, or None if the object is one record.

    Raises ObjectFault if it can be both, or if the records are in a deeper object.
    """
    arrays = [each for each in _inside(fields, names) if each.is_array]
    wrapped = [each for each in _inside(fields, names) if not each.is_array and each.path in WRAPPERS]
    if has_id(fields, names):
        own = len(names.known(_sent(fields)))
        rivals = [each for each in (*arrays, *wrapped) if each.known >= own]
        if rivals:
            raise ambiguous(rivals[0], names)
        return None
    if len(arrays) == 1 and not wrapped:
        return arrays[0].path
    if len(arrays) > 1:
        raise ObjectFault("ambiguous_envelope", _two_arrays(arrays[0].path, arrays[1].path), line=1, column=1)
    if deeper := [*arrays, *wrapped] or _deeper(fields, names, "", 1):
        raise elsewhere(deeper[0])
    return None


def has_id(fields: Fields, names: FieldNames) -> bool:
    """Check whether an object sends an ID."""
    return any(bytes(value) not in _MISSING for name, value in fields.items() if names.is_id(name))


def known_fields(fields: Fields, names: FieldNames) -> int:
    """Return how many fields of the model an object sends."""
    return len(names.known(_sent(fields)))


def ambiguous(found: Found, names: FieldNames, line: int = 1) -> ObjectFault:
    """Return the error of an object that is a record or contains records."""
    ids = ", ".join(sorted(names.ids))[:100]
    keep = "records" if found.is_array else "record"
    return ObjectFault(
        "ambiguous_envelope",
        f"the object has an ID ({ids}), and {found.path[:50]!r} in it has one, too. Set {found.setting} under `[dialect]` "
        f'to load what is inside, or `{keep} = "."` to load the object itself',
        line=line,
        column=1,
    )


def _two_arrays(one: str, other: str) -> str:
    return (
        f"{one[:50]!r} and {other[:50]!r} are both arrays of records: set the array that counts, for example "
        f'`records = "{one[:50]}"` under `[dialect]`'
    )


def elsewhere(found: Found, line: int = 1) -> ObjectFault:
    """Return the error of records that are in a deeper object."""
    return ObjectFault(
        "records_elsewhere",
        f"the object has no ID, but {found.path[:100]!r} in it has: set {found.setting} under `[dialect]`",
        line=line,
        column=1,
    )


def _sent(fields: Fields) -> list[str]:
    return [name for name, value in fields.items() if bytes(value) not in _MISSING]


def _first(value: msgspec.Raw) -> bytes:
    return bytes(memoryview(value)[:1])


def _inside(fields: Fields, names: FieldNames) -> list[Found]:
    """Return the fields that hold an object or an array of objects with IDs."""
    found: list[Found] = []
    for name, value in fields.items():
        kind = _first(value)
        if kind not in (b"[", b"{"):
            continue
        elements = islice(raw_list(value), JUDGED_ELEMENTS) if kind == b"[" else [value]
        objects = [raw_fields(each) for each in elements if _first(each) == b"{"]
        if with_id := [each for each in objects if has_id(each, names)]:
            found.append(Found(name, max(known_fields(each, names) for each in with_id), is_array=kind == b"["))
    return found


def _deeper(fields: Fields, names: FieldNames, prefix: str, depth: int) -> list[Found]:
    """Return the places in nested objects that hold records."""
    found: list[Found] = []
    for name, value in fields.items():
        if _first(value) == b"{" and depth < DEEPEST_SEARCH:
            inner = raw_fields(value)
            path = f"{prefix}{name}."
            found += [Found(path + each.path, each.known, each.is_array) for each in _inside(inner, names)]
            found += _deeper(inner, names, path, depth + 1)
    return found


def _note_envelope(envelope: Envelope, place: Sequence[str], fields: Mapping[str, bytes]) -> None:
    """Note where the records are, and whether the document is one page of several."""
    if list(place) != ["records"]:
        envelope.notes.shape["records"] = ".".join(place)[:100]
    for name, text in fields.items():
        is_unfinished = text == UNFINISHED.get(name) or (name in MORE_PAGES and text not in (*_MISSING, b"false"))
        if is_unfinished or (name in PAGING and _NEXT.search(text)):
            envelope.notes.add("unfinished_page", sample=f"{name}: {text.decode(errors='replace')}")


class _Walk:
    """A scan of an object field by field: it is too large to decode in one step, repeats a field, or is invalid."""

    def __init__(self, window: Window, envelope: Envelope, names: FieldNames, declared: str | None) -> None:
        self._window = window
        self._envelope = envelope
        self._names = names
        self._declared = declared
        self._has_id = False
        self._has_records = False
        self._found = ""
        """The array that was found by its IDs."""

    def chunks(self, path: Sequence[str]) -> Iterator[Chunk]:
        """Yield the records at the path, or the object itself if it has none there."""
        window, envelope = self._window, self._envelope
        begin, line, whole = window.position, window.line(), window.ended
        yield from self._fields(path, is_top=True)
        if self._has_records:
            if self._has_id and self._found:
                raise ambiguous(Found(self._found, 0, is_array=True), self._names, line)
            return
        if self._declared not in (None, "."):
            raise no_records(str(self._declared))
        if not whole:
            raise ObjectFault("too_large", f"a single record {OVERSIZE[1]}", line=line, column=1)
        envelope.format, envelope.fields = "object", {}
        yield Chunk(0, [window.buffer[begin : window.position]], line=lambda _: line)

    def _fields(self, path: Sequence[str], *, is_top: bool) -> Iterator[Chunk]:
        """Scan the object at the current position, and move past its end. Yield the records in it."""
        window, envelope = self._window, self._envelope
        window.position += 1
        after = b"}" if window.skip_space() == b"}" else b","
        while after == b",":
            if window.skip_space() != b'"':
                raise window.unexpected("a field name in double quotes")
            key = _decoded(window, window.value_end())
            if window.skip_space() != b":":
                raise window.unexpected("a colon")
            window.position += 1
            begins_with = window.skip_space()
            is_on_path = bool(path) and key == path[0]
            if is_on_path and len(path) == 1 and self._has_records:
                raise window.fault("bad_json", f'a second "{key}": put all records into one')
            if is_on_path and len(path) == 1 and begins_with == b"[":
                envelope.format, self._has_records = "envelope", True
                _note_envelope(envelope, self._declared.split(".") if self._declared else path, {})
                window.position += 1
                yield from array_chunks(window)
            elif is_on_path and len(path) > 1 and begins_with == b"{":
                yield from self._fields(path[1:], is_top=False)
            elif is_top and self._declared is None and begins_with == b"[" and self._holds_records():
                if self._found:
                    raise window.fault("ambiguous_envelope", _two_arrays(self._found, key))
                envelope.format, self._has_records, self._found = "envelope", True, key
                _note_envelope(envelope, [key], {})
                window.position += 1
                yield from array_chunks(window)
            else:
                self._keep(key, is_top=is_top)
            after = window.skip_space()
            if after not in (b",", b"}"):
                raise window.unexpected('a comma or "}"')
            window.position += after == b","
        window.position += 1

    def _keep(self, key: str, *, is_top: bool) -> None:
        """Decode the value at the current position, and keep it if it belongs to the envelope."""
        window, envelope = self._window, self._envelope
        end = window.value_end()
        if end < 0:
            raise window.fault("too_large", f"field {str(key)[:50]!r} {OVERSIZE[1]}")
        text = window.buffer[window.position : end]
        value = _decoded(window, end)
        if is_top:
            self._has_id = self._has_id or (self._names.is_id(key) and text not in _MISSING)
            _note_envelope(envelope, ["records"], {key: text})
            if key in KEPT_FIELDS:
                envelope.fields[key] = value

    def _holds_records(self) -> bool:
        """Check whether the array at the current position begins with an object that has an ID."""
        window = self._window
        window.value_end()  # reads the array, as far as a record can be long
        begin = window.position
        window.position += 1
        try:
            end = window.value_end() if window.skip_space() == b"{" else -1
            return end >= 0 and has_id(raw_fields(window.buffer[window.position : end]), self._names)
        except UNREADABLE:
            return False
        finally:
            window.position = begin


def _decoded(window: Window, end: int) -> Any:
    """Decode the value between the current position and `end`, and move to `end`."""
    try:
        value = decode_any_number(window.buffer[window.position : end])
    except RecursionError:
        raise window.fault("nested_too_deeply", "objects are nested too deeply: flatten them") from None
    except UNREADABLE:
        raise window.fault("bad_json", "not valid JSON, or not UTF-8") from None
    window.position = end
    return value
