"""Cut JSON into the bytes of its records, without decoding them: envelope, array, single object, JSON Lines.

A large array is cut between two elements. A cut is right if the elements before it, put in brackets, are valid JSON.
The parser checks this at about one gigabyte per second. If no cut is found (an element is invalid, or it fills the window),
a slower scanner separates the elements by brackets and quotes. Then an error inside one record affects only that record.
"""

import re
from collections.abc import Iterator
from typing import Any

from pipeline_project.ingest.decoding import limits
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.json_values import UNREADABLE, decode_any_number, raw_fields, raw_list
from pipeline_project.ingest.decoding.records import OVERSIZE, Chunk, Envelope, Flaw, RawRecord
from pipeline_project.ingest.decoding.window import Window

CUTS_TRIED = 6
"""Attempts to find a cut. The end of a nested object looks like the end of a record. After this many attempts, the scanner
counts brackets instead."""

RECORDS = b'"records"'
KEPT_FIELDS = ("metadata", "summary", "sourceSystem")
"""Fields of an envelope that are kept in addition to its records."""

_SPACE = re.compile(rb"[ \t\r\n]*")
_AFTER_BRACE = re.compile(rb"\}[ \t\r\n]*([,\]])")
# Letters of "records" can be escaped. This is rare, but then a search for the plain name misses a second "records".
_ESCAPED_LETTER = re.compile(rb"\\u00[67]")


def json_chunks(window: Window, envelope: Envelope) -> Iterator[Chunk]:
    """Yield the records of a JSON file. `envelope` is complete after the last chunk.

    Raises ObjectFault with line and column if the file is not JSON.
    """
    first = window.skip_space()
    window.fill(limits.RECORD_LIMIT + 1)
    if not first:
        raise ObjectFault("empty", "the file is empty: there is no record in it", line=1, column=1)
    if first == b"[":
        envelope.format = "array"
        window.position += 1
        yield from _numbered(_array(window))
        _nothing_after(window)
    elif _is_json_lines(window):
        envelope.format = "json_lines"
        yield from _numbered(_json_lines(window))
    else:
        yield from _numbered(_object(window, envelope))
        _nothing_after(window)


def _is_json_lines(window: Window) -> bool:
    """Return whether the first line is an object and another line follows. Both can contain errors."""
    end = window.buffer.find(b"\n", window.position)
    if end < 0:
        return False
    line = window.buffer[window.position : end].strip()
    following = _SPACE.match(window.buffer, end)
    after = window.buffer[following.end() : following.end() + 1] if following else b""
    return line.endswith(b"}") and (after == b"{" or (after != b"" and _is_object(line)))


def _is_object(text: bytes) -> bool:
    try:
        raw_fields(text)
    except UNREADABLE:
        return False
    return True


def _numbered(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    ordinal = 1
    for chunk in chunks:
        chunk.first_ordinal = ordinal
        ordinal += len(chunk.records)
        if chunk.records:
            yield chunk


def _nothing_after(window: Window) -> None:
    if window.skip_space():
        raise window.fault(
            "trailing_data", "more data after the end of the JSON value: one value a file, or JSON Lines"
        )


def _object(window: Window, envelope: Envelope) -> Iterator[Chunk]:
    """Yield the records of an envelope, or the object itself if it has no `records`."""
    if window.ended and not _may_repeat_records(window):
        try:
            fields = raw_fields(window.buffer[window.position :])
            records = raw_list(fields.pop("records")) if "records" in fields else None
            kept = {name: decode_any_number(fields[name]) for name in KEPT_FIELDS if name in fields}
        except UNREADABLE:
            pass  # the scanner finds the error again, with its place
        else:
            if records is not None:
                envelope.format, envelope.fields = "envelope", kept
                yield from _pieces(window, list(records), max(window.buffer.find(RECORDS), window.position))
            else:
                envelope.format = "object"
                line = window.line()
                yield Chunk(0, [window.buffer[window.position :].rstrip()], line=lambda _: line)
            window.position = len(window.buffer)
            return
    yield from _walked_object(window, envelope)


def _may_repeat_records(window: Window) -> bool:
    """Return whether "records" can occur more than once. Then the scanner reads the object field by field."""
    return window.buffer.count(RECORDS) > 1 or _ESCAPED_LETTER.search(window.buffer) is not None


def _walked_object(window: Window, envelope: Envelope) -> Iterator[Chunk]:
    """Scan an object field by field: it is too large to decode in one step, can have "records" twice, or is invalid."""
    begin, line, whole = window.position, window.line(), window.ended
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
        if key == "records" and envelope.format == "envelope":
            raise window.fault("bad_json", 'a second "records": put all records into one')
        if key == "records" and begins_with == b"[":
            envelope.format = "envelope"
            window.position += 1
            yield from _array(window)
        else:
            end = window.value_end()
            if end < 0:
                raise window.fault("too_large", f"field {str(key)[:50]!r} {OVERSIZE[1]}")
            value = _decoded(window, end)
            if key in KEPT_FIELDS:
                envelope.fields[key] = value
        after = window.skip_space()
        if after not in (b",", b"}"):
            raise window.unexpected('a comma or "}"')
        window.position += after == b","
    window.position += 1
    if envelope.format != "envelope":
        if not whole:
            raise ObjectFault("too_large", f"a single record {OVERSIZE[1]}", line=line, column=1)
        envelope.format, envelope.fields = "object", {}
        yield Chunk(0, [window.buffer[begin : window.position]], line=lambda _: line)


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


def _array(window: Window) -> Iterator[Chunk]:
    """Yield the elements of an array. Starts after the opening bracket and moves past the closing bracket."""
    if window.skip_space() == b"]":
        window.position += 1
        return
    while True:
        window.fill(limits.WINDOW)
        chunk = _cut(window)
        if chunk is None:
            chunk = _walk(window)
        yield from chunk
        after = window.skip_space()
        if after not in (b",", b"]"):
            raise window.unexpected('a comma or "]"')
        window.position += 1
        if after == b"]":
            return
        if window.skip_space() == b"]":
            raise window.fault("bad_json", "a comma before the end of an array: remove it")


def _cut(window: Window) -> list[Chunk] | None:
    """Cut whole elements from the window at the end of one of its last objects. Return None if no cut is found."""
    begin = window.position
    end = min(len(window.buffer), begin + limits.WINDOW)
    for _ in range(CUTS_TRIED):
        end = window.buffer.rfind(b"}", begin, end)
        if end < 0:
            return None
        if not _AFTER_BRACE.match(window.buffer, end):
            continue
        try:
            # join copies the bytes once. Concatenation with + would copy megabytes three times.
            records = raw_list(b"".join((b"[", memoryview(window.buffer)[begin : end + 1], b"]")))
        except UNREADABLE:
            continue
        chunk = list(_pieces(window, list(records), begin))
        window.position = end + 1
        return chunk
    return None


def _walk(window: Window) -> list[Chunk]:
    """Scan at least one element, and more if the window holds them. Brackets and quotes separate the elements."""
    records: list[RawRecord] = []
    lines: list[int] = []
    flaws: dict[int, Flaw] = {}
    size = 0
    while True:
        if window.skip_space() in (b",", b"]", b""):
            raise window.unexpected("a value")
        lines.append(window.line())
        end = window.value_end()
        if end < 0:
            flaws[len(records)] = OVERSIZE
            records.append(window.buffer[window.position : window.position + limits.RAW_LIMIT])
            window.skip_value()
        else:
            records.append(window.buffer[window.position : end])
            window.position = end
        size += len(records[-1]) if isinstance(records[-1], bytes) else 0
        if window.skip_space() != b"," or size >= limits.WINDOW // 2 or len(records) == limits.CHUNK_RECORDS or end < 0:
            break
        comma = window.position
        window.position += 1
        if window.skip_space() == b"]":
            raise window.fault("bad_json", "a comma before the end of an array: remove it")
        if len(window.buffer) - window.position < limits.WINDOW // 8 and not window.ended:
            window.position = comma
            break
    return [Chunk(0, records, flaws, lambda index: lines[index])]


def _pieces(window: Window, records: list[RawRecord], position: int) -> Iterator[Chunk]:
    """Yield chunks with at most limits.CHUNK_RECORDS records. Lines are counted only when a caller needs them.

    `position` is a place before the first record. No text of a record may be between them.
    """
    buffer = window.buffer
    first_line = window.line(position)
    known = [(0, position, first_line)]  # (index, place before the record, line of that place)

    def line(index: int) -> int:
        at, place, number = next(entry for entry in reversed(known) if entry[0] <= index)
        while True:
            found = buffer.find(bytes(records[at]), place)
            number += buffer.count(b"\n", place, found)
            if at == index:
                known.append((at, found, number))
                return number
            number += buffer.count(b"\n", found, found + len(bytes(records[at])))
            place = found + len(bytes(records[at]))
            at += 1

    for begin in range(0, len(records), limits.CHUNK_RECORDS):
        yield Chunk(
            0, records[begin : begin + limits.CHUNK_RECORDS], line=lambda index, begin=begin: line(begin + index)
        )


def _json_lines(window: Window) -> Iterator[Chunk]:
    while True:
        window.fill(limits.WINDOW)
        end = len(window.buffer) if window.ended else window.buffer.rfind(b"\n") + 1
        first_line = window.line()
        if end <= window.position:
            if window.position >= len(window.buffer) and window.ended:
                return
            yield _long_line(window, first_line)
            continue
        texts = window.buffer[window.position : end].split(b"\n")
        window.position = end
        filled = [(first_line + i, text) for i, text in enumerate(texts) if text and not text.isspace()]
        for begin in range(0, len(filled), limits.CHUNK_RECORDS):
            piece = filled[begin : begin + limits.CHUNK_RECORDS]
            yield Chunk(0, [text for _, text in piece], line=lambda index, piece=piece: piece[index][0])
        if window.ended:
            return


def _long_line(window: Window, line: int) -> Chunk:
    """Return the record of a line that does not end in the window."""
    window.fill(limits.RECORD_LIMIT + 1)
    end = window.buffer.find(b"\n", window.position)
    if end < 0 and window.ended:
        end = len(window.buffer)
    if 0 <= end <= window.position + limits.RECORD_LIMIT:
        text = window.buffer[window.position : end]
        window.position = end
        return Chunk(0, [text], line=lambda _: line)
    text = window.buffer[window.position : window.position + limits.RAW_LIMIT]
    while (end := window.buffer.find(b"\n", window.position)) < 0 and not window.ended:
        window.position = len(window.buffer)
        window.fill(limits.WINDOW)
    window.position = end if end >= 0 else len(window.buffer)
    return Chunk(0, [text], {0: OVERSIZE}, line=lambda _: line)
