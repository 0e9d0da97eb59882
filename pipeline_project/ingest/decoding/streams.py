"""Unpack the bytes of an object: gzip and zstd.

The meaning of the bytes does not belong here; see formats.py and encodings.py.
"""

import io
from typing import Protocol

import pyarrow as pa

from pipeline_project.ingest.decoding.faults import ObjectFault

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BOMB_RATIO = 200
"""Maximum ratio of unpacked to packed bytes. Repeated JSON records compress about 50 times. A greater ratio than this
counts as a decompression bomb, from BOMB_FLOOR on."""
BOMB_FLOOR = 64 * 1024 * 1024
"""Unpacked bytes from which BOMB_RATIO applies."""
UNPACKED_LIMIT = 64 * 1024**3
"""Maximum number of unpacked bytes of an object."""


class ByteStream(Protocol):
    """The part of a binary file that decoding needs. The body of an S3 response has it, too."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, and b"" at the end."""
        ...


class Peekable(io.RawIOBase):
    """A stream that counts the bytes that were read. Its first bytes can be read in advance."""

    def __init__(self, stream: ByteStream) -> None:
        super().__init__()
        self._stream = stream
        self._head = b""
        self.count = 0
        self.broken: OSError | None = None
        """The error of the stream itself, for example of the network. The content is not to blame."""

    def peek(self, size: int) -> bytes:
        while len(self._head) < size and (more := self._read(size - len(self._head))):
            self._head += more
        return self._head[:size]

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except OSError as error:
            self.broken = error
            raise

    def read(self, size: int = -1, /) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
        else:
            data = self._read(size)
        self.count += len(data)
        return data

    def readinto(self, buffer: bytearray, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readable(self) -> bool:
        return True


class _Unpacked:
    """A stream of decompressed bytes, within limits. Each error of the compression becomes an ObjectFault."""

    def __init__(self, packed: Peekable, packing: str) -> None:
        self._unpacker = pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), packing)
        self._packed = packed
        self._packing = packing
        self._count = 0

    def read(self, size: int, /) -> bytes:
        try:
            data = self._unpacker.read(size)
        except OSError as error:
            if self._packed.broken is not None:
                raise self._packed.broken from None
            if "Truncated" in str(error):
                raise ObjectFault(
                    "truncated", f"the {self._packing} data end too early: upload the whole file"
                ) from None
            raise ObjectFault(
                "bad_compression", f"the {self._packing} data are damaged: pack and upload the file again"
            ) from None
        self._count += len(data)
        check_unpacked(self._count, self._packed.count)
        return data


def check_unpacked(unpacked: int, packed: int) -> None:
    """Raise ObjectFault if `packed` bytes unpack to more than UNPACKED_LIMIT or BOMB_RATIO allow."""
    if unpacked > UNPACKED_LIMIT or unpacked > max(BOMB_FLOOR, BOMB_RATIO * packed):
        raise ObjectFault(
            "too_large",
            f"{packed:,} bytes of it unpack to {unpacked:,} or more: the limit is {UNPACKED_LIMIT:,}, and {BOMB_RATIO} times "
            f"its size from {BOMB_FLOOR:,} on: split the file, or upload it without compression",
        )


def unpacked(stream: ByteStream) -> tuple[Peekable, str]:
    """Return the unpacked stream, and the packing: `plain`, `gzip` or `zstd`."""
    source = Peekable(stream)
    packing = _packing(source.peek(4))
    if packing == "plain":
        return source, packing
    content = Peekable(_Unpacked(source, packing))
    if _packing(content.peek(4)) != "plain":
        raise ObjectFault("packed_twice", f"compressed data inside {packing} data: pack the file once only")
    return content, packing


def _packing(head: bytes) -> str:
    return "gzip" if head.startswith(GZIP) else "zstd" if head == ZSTD else "plain"
