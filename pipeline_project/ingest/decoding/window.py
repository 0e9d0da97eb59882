"""A sliding view of a stream of UTF-8, and the ends of JSON values in it. Places have a line and a column."""

import re

from pipeline_project.ingest.decoding import limits
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.json_braces import Brace, look_at_braces
from pipeline_project.ingest.decoding.streams import ByteStream

_SPACE = re.compile(rb"[ \t\r\n]*")
RECORD_SEPARATOR = b"\x1e"
"""The byte before each text of a JSON text sequence (RFC 7464)."""
SEPARATORS = re.compile(rb"[ \t\r\n\x1e]*")
"""White space and marks between JSON values that follow each other."""
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\]]|"', re.DOTALL)
_STRING_END = re.compile(rb'(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SCALAR = re.compile(rb"[^,\]}\s]+")
_OPENING = {b"}": b"{", b"]": b"["}


class Window:
    """A sliding view of a stream. `buffer[position:]` is not used yet."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.buffer = b""
        self.position = 0
        self.ended = False
        self._lines_before = 0  # line feeds before buffer[0]
        self._column_before = 0  # bytes of the current line before buffer[0]
        self._marked = (0, 1)  # a place in the buffer, and its line
        self._looks = False
        self.braces = Brace.NONE
        """The characters before the braces in all bytes that were read since look_at_braces was called."""

    def look_at_braces(self) -> None:
        """Look at the braces in the buffer, and in all that is read from now on."""
        self._looks = True
        self.braces |= look_at_braces(self.buffer)

    def fill(self, size: int) -> None:
        """Read until at least `size` unused bytes are available, or until the stream ends."""
        if self.ended or len(self.buffer) - self.position >= size:
            return
        self._lines_before = self.line() - 1
        begin = self.buffer.rfind(b"\n", 0, self.position) + 1
        self._column_before = self.position - begin + (self._column_before if begin == 0 else 0)
        self._marked = (0, self._lines_before + 1)
        pieces = [self.buffer[self.position :]]
        have = len(pieces[0])
        self.position = 0
        while have < size:
            piece = self._stream.read(size - have)
            if not piece:
                self.ended = True
                break
            pieces.append(piece)
            have += len(piece)
        self.buffer = b"".join(pieces)
        if self._looks:
            self.braces |= look_at_braces(self.buffer)

    def skip_space(self) -> bytes:
        """Move to the next byte that is not white space and return it. Return b"" at the end."""
        return self._skip(_SPACE)

    def skip_separators(self) -> bytes:
        """Do the same between JSON values, where record separators can be, too."""
        return self._skip(SEPARATORS)

    def _skip(self, pattern: re.Pattern[bytes]) -> bytes:
        while True:
            match = pattern.match(self.buffer, self.position)
            self.position = match.end() if match else self.position
            if self.position < len(self.buffer) or self.ended:
                return self.buffer[self.position : self.position + 1]
            self.fill(limits.WINDOW)

    def line(self, position: int | None = None) -> int:
        """Return the line of a place in the buffer, counted from 1. The default is the current place."""
        position = self.position if position is None else position
        place, number = self._marked if position >= self._marked[0] else (0, self._lines_before + 1)
        number += self.buffer.count(b"\n", place, position)
        self._marked = (position, number)
        return number

    def fault(self, code: str, message: str, position: int | None = None) -> ObjectFault:
        """Return an error with the line and column of a place in the buffer."""
        position = self.position if position is None else position
        begin = self.buffer.rfind(b"\n", 0, position) + 1
        column = position - begin + 1 + (self._column_before if begin == 0 else 0)
        return ObjectFault(code, message, line=self.line(position), column=column)

    def unexpected(self, expected: str) -> ObjectFault:
        """The fault that something else than the current byte was to be here."""
        if self.position == len(self.buffer):
            return self.fault("truncated", "the file ends too early: upload the whole file")
        return self.fault("bad_json", f"{expected} is expected here")

    def value_end(self) -> int:
        """Return where the JSON value at the current position ends. Only brackets and quotes count.

        Enlarges the window if needed. Returns -1 if the value is larger than limits.RECORD_LIMIT. Raises ObjectFault if the
        value cannot end.
        """
        size = max(len(self.buffer) - self.position, 1)
        while True:
            end = self._value_end()
            if end is not None:
                return end if end - self.position <= limits.RECORD_LIMIT else -1
            if self.ended:
                raise self.fault(
                    "truncated", "the file ends in the middle of a value: upload the whole file", len(self.buffer)
                )
            if size > limits.RECORD_LIMIT:
                return -1
            size = (
                min(size * 2, limits.RECORD_LIMIT + 1) if size <= limits.RECORD_LIMIT // 2 else limits.RECORD_LIMIT + 1
            )
            self.fill(size)

    def _value_end(self) -> int | None:
        buffer, position = self.buffer, self.position
        if buffer[position : position + 1] not in (b"{", b"[", b'"'):
            match = _SCALAR.match(buffer, position)
            if not match:
                raise self.fault("bad_json", "a value is missing here")
            return match.end() if match.end() < len(buffer) or self.ended else None
        opened: list[bytes] = []
        for match in _TOKEN.finditer(buffer, position):
            token = match.group()
            if token in (b"{", b"["):
                opened.append(token)
            elif token in (b"}", b"]"):
                if opened.pop() != _OPENING[token]:
                    raise self.fault("bad_json", f"'{token.decode()}' does not close what is open", match.start())
            elif token == b'"':
                return None
            if not opened:
                return match.end()
        return None

    def skip_value(self) -> None:  # noqa: PLR0912 a scanner's cases belong together
        """Move past a value of any size without keeping its bytes."""
        if self.buffer[self.position : self.position + 1] not in (b"{", b"[", b'"'):
            while match := _SCALAR.match(self.buffer, self.position):
                self.position = match.end()
                self.fill(limits.WINDOW)
            return
        depth = 0
        inside = False
        while True:
            if inside:
                match = _STRING_END.match(self.buffer, self.position)
                if match:
                    inside = False
                    self.position = match.end()
                    if depth == 0:
                        return
                else:
                    # A backslash at the end of the buffer escapes the next byte, which is not read yet.
                    tail = len(self.buffer) - len(self.buffer.rstrip(b"\\"))
                    self.position = max(len(self.buffer) - (tail % 2), self.position)
            if not inside:
                for match in _TOKEN.finditer(self.buffer, self.position):
                    token = match.group()
                    self.position = match.end()
                    if token == b'"':
                        inside = True
                        break
                    depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
                    if depth == 0:
                        return
                else:
                    self.position = len(self.buffer)
                if inside:
                    continue
            if self.ended:
                raise self.fault(
                    "truncated", "the file ends in the middle of a value: upload the whole file", len(self.buffer)
                )
            self.fill(limits.WINDOW)
