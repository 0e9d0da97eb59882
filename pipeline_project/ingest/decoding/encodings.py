"""Turn the text of a file into plain UTF-8: follow a byte-order mark, a declared encoding, or the pattern of UTF-16."""

import codecs

from pipeline_project.ingest.decoding import limits
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.notes import Notes
from pipeline_project.ingest.decoding.streams import ByteStream, Peekable

CANDIDATES = ("cp1252", "iso8859-15", "cp1250", "cp850", "mac_roman", "shift_jis")
"""Encodings in which a text that is not UTF-8 is shown to a person."""
HEAD = 4096
"""Bytes in which the zero bytes of UTF-16 are counted."""
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8"),
)
"""Byte-order marks. UTF-32 is first, because its mark begins with that of UTF-16."""


class _Transcoded:
    """A stream that converts an encoding to UTF-8."""

    def __init__(self, stream: ByteStream, encoding: str) -> None:
        self._stream = stream
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def read(self, size: int, /) -> bytes:
        while data := self._stream.read(size):
            if text := self._decode(data):
                return text
        return self._decode(b"", final=True)

    def _decode(self, data: bytes, *, final: bool = False) -> bytes:
        try:
            return self._decoder.decode(data, final).encode()
        except UnicodeError:
            raise ObjectFault(
                "bad_encoding",
                f"not valid {self._encoding}: export the file as UTF-8, or correct `encoding` under `[dialect]`",
            ) from None


def as_utf8(stream: Peekable, declared: str | None, notes: Notes) -> ByteStream:
    """Return the text in UTF-8, without a byte-order mark. Raises ObjectFault if the content contradicts `declared`."""
    head = stream.peek(4)
    mark, marked = next(((mark, name) for mark, name in MARKS if head.startswith(mark)), (b"", None))
    if declared is not None:
        _check_declared(stream, declared, marked)
        notes.shape["encoding"] = f"{declared} (declared)"
        if _family(declared) != "utf8":
            return _Transcoded(stream, marked or declared)
    else:
        found = marked or _without_mark(stream.peek(HEAD))
        notes.shape["encoding"] = found
        if found != "utf-8":
            return _Transcoded(stream, found)
    if marked:
        stream.read(len(mark))
    return stream


def readings(text: bytes) -> dict[str, list[str]]:
    """Return what bytes say in the encodings that can be: text -> encodings that read it so."""
    found: dict[str, list[str]] = {}
    for encoding in CANDIDATES:
        try:
            found.setdefault(text.decode(encoding), []).append(encoding)
        except UnicodeDecodeError:
            continue
    return {said: names for said, names in found.items() if said.isprintable()}


def _family(encoding: str) -> str:
    """Return the name of an encoding without byte order and hyphens: `utf-16-le` is `utf16`."""
    name = codecs.lookup(encoding).name.replace("-", "").replace("_", "")
    return next((family for family in ("utf8", "utf16", "utf32") if name.startswith(family)), name)


def _check_declared(stream: Peekable, declared: str, marked: str | None) -> None:
    if marked is not None and _family(marked) != _family(declared):
        raise _mismatch(declared, f"begins with the byte-order mark of {marked}", marked)
    if marked is None and not _family(declared).startswith("utf"):
        begin = stream.peek(limits.WINDOW)
        if not begin.isascii() and _is_utf8(begin):
            raise _mismatch(declared, "is valid UTF-8", "utf-8")


def _is_utf8(begin: bytes) -> bool:
    """Check the beginning of a text, which can end inside a character."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begin)
    except UnicodeDecodeError:
        return False
    return True


def _mismatch(declared: str, finding: str, found: str) -> ObjectFault:
    return ObjectFault(
        "encoding_mismatch",
        f'the declared encoding is {declared}, but the text {finding}: set `encoding = "{found}"` under `[dialect]`, or '
        "in a `[[variant]]` for this file",
        line=1,
        column=1,
    )


def _without_mark(head: bytes) -> str:
    """Return the encoding of a text without a mark: UTF-16 has zero bytes in every second place, where the letters are."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if len(head) >= 4 and 3 * (even + odd) > len(head):
        if odd > 9 * even:
            return "utf-16-le"
        if even > 9 * odd:
            return "utf-16-be"
    return "utf-8"
