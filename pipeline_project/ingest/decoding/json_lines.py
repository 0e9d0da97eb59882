"""Cut JSON Lines, and JSON values that follow each other without a separator, into the bytes of their records."""

import re
from collections.abc import Iterator
from io import BytesIO

from pipeline_project.ingest.decoding import limits
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.json_arrays import array_chunks
from pipeline_project.ingest.decoding.json_braces import Brace
from pipeline_project.ingest.decoding.json_values import UNREADABLE, raw_fields
from pipeline_project.ingest.decoding.records import OVERSIZE, Chunk, Flaw, RawRecord
from pipeline_project.ingest.decoding.window import RECORD_SEPARATOR, SEPARATORS, Window

_SPACE = re.compile(rb"[ \t\r\n]*")
_JOINED = re.compile(rb"\}[ \t\r\n\x1e]*\{")
"""The place between two objects. It also occurs in texts."""
_JOINED_IN_LINE = re.compile(rb"\}[ \t\x1e]*\{")


def is_json_lines(window: Window) -> bool:
    """Return whether the first line is an object and another line follows. Both can contain errors."""
    end = window.buffer.find(b"\n", window.position)
    if end < 0:
        return False
    line = window.buffer[window.position : end].strip()
    following = _SPACE.match(window.buffer, end)
    after = window.buffer[following.end() : following.end() + 1] if following else b""
    return line.endswith(b"}") and (after == b"{" or (after not in (b"", RECORD_SEPARATOR) and _is_object(line)))


def _is_object(text: bytes) -> bool:
    try:
        raw_fields(text)
    except UNREADABLE:
        return False
    return True


def is_concatenated(window: Window) -> bool:
    """Return whether another JSON value follows the first object, as Firehose and many loggers write them."""
    if not window.braces & (Brace.IN_LINE | Brace.IN_NEXT_LINE) or not _JOINED.search(window.buffer, window.position):
        return False
    try:
        end = window.value_end()
    except ObjectFault:
        return False
    after = SEPARATORS.match(window.buffer, end)
    return end >= 0 and after is not None and window.buffer[after.end() : after.end() + 1] == b"{"


def concatenated_chunks(window: Window, kind: bytes) -> Iterator[Chunk]:
    """Yield objects, or the elements of arrays, that follow each other with white space or nothing between them.

    `kind`: the bracket with which each of them begins.
    """
    while window.skip_separators() == kind:
        if kind == b"[":
            window.position += 1
            yield from array_chunks(window)
        else:
            yield _objects(window)


def _objects(window: Window) -> Chunk:
    """Scan at least one object, and more up to the size of a chunk. Brackets and quotes show where they end."""
    records: list[RawRecord] = []
    lines: list[int] = []
    flaws: dict[int, Flaw] = {}
    size = 0
    while len(records) < limits.CHUNK_RECORDS and size < limits.WINDOW and window.skip_separators() == b"{":
        lines.append(window.line())
        end = window.value_end()
        if end < 0:
            flaws[len(records)] = OVERSIZE
            records.append(window.buffer[window.position : window.position + limits.RAW_LIMIT])
            window.skip_value()
        else:
            records.append(window.buffer[window.position : end])
            window.position = end
        size += len(records[-1])
    return Chunk(0, records, flaws, lambda index: lines[index])


def line_chunks(window: Window) -> Iterator[Chunk]:
    while True:
        window.fill(limits.WINDOW)
        end = len(window.buffer) if window.ended else window.buffer.rfind(b"\n") + 1
        first_line = window.line()
        if end <= window.position:
            if window.position >= len(window.buffer) and window.ended:
                return
            yield _long_line(window, first_line)
            continue
        begin = window.position
        texts = window.buffer[begin:end].split(b"\n")
        window.position = end
        filled = [(first_line + i, text) for i, text in enumerate(texts) if text and not text.isspace()]
        if Brace.IN_LINE in window.braces and _JOINED_IN_LINE.search(window.buffer, begin, end):
            filled = [(line, each) for line, text in filled for each in _objects_of_line(text)]
        for place in range(0, len(filled), limits.CHUNK_RECORDS):
            piece = filled[place : place + limits.CHUNK_RECORDS]
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


def _objects_of_line(text: bytes) -> list[bytes]:
    """Return the objects of a line. Most lines have one. A line that is not valid stays as it is."""
    if not _JOINED_IN_LINE.search(text):
        return [text]
    try:
        raw_fields(text)
    except UNREADABLE:
        pass
    else:
        return [text]
    try:
        return [bytes(record) for chunk in concatenated_chunks(Window(BytesIO(text)), b"{") for record in chunk.records]
    except ObjectFault:
        return [text]
