"""Cut the array of records into the bytes of its elements, without decoding them.

A large array is cut between two elements. A cut is right if the elements before it, put in brackets, are valid JSON.
The parser checks this at about one gigabyte per second. If no cut is found (an element is invalid, or it fills the window),
a slower scanner separates the elements by brackets and quotes. Then an error inside one record affects only that record.
"""

import re
from collections.abc import Iterator

from pipeline_project.ingest.decoding import limits
from pipeline_project.ingest.decoding.json_values import UNREADABLE, raw_list
from pipeline_project.ingest.decoding.records import OVERSIZE, Chunk, Flaw, RawRecord
from pipeline_project.ingest.decoding.window import Window

CUTS_TRIED = 6
"""Attempts to find a cut. The end of a nested object looks like the end of a record. After this many attempts, the scanner
counts brackets instead."""

_AFTER_BRACE = re.compile(rb"\}[ \t\r\n]*([,\]])")


def array_chunks(window: Window) -> Iterator[Chunk]:
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
        chunk = list(pieces(window, list(records), begin))
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


def pieces(window: Window, records: list[RawRecord], position: int) -> Iterator[Chunk]:
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
