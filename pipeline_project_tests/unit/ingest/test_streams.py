"""Packing and encoding: what comes out is plain UTF-8, or a fault that says what to do."""

import gzip
from collections.abc import Callable
from io import BytesIO

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_project.ingest.decoding import streams
from pipeline_project.ingest.decoding.encodings import as_utf8
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.notes import Notes
from pipeline_project.ingest.decoding.streams import ByteStream, unpacked

TEXT = b'[{"id": 1}]' * 40


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


def read(data: bytes, size: int = 100) -> tuple[bytes, str]:
    content, packing = unpacked(BytesIO(data))
    stream = as_utf8(content, None, Notes())
    return drained(stream, size), packing


def drained(stream: ByteStream, size: int) -> bytes:
    pieces = []
    while piece := stream.read(size):
        pieces.append(piece)
    return b"".join(pieces)


def fault(data: bytes) -> str:
    with pytest.raises(ObjectFault) as caught:
        read(data)
    return caught.value.code


@given(data=st.binary(max_size=300), size=st.integers(1, 50), members=st.integers(1, 3))
def test_what_was_packed_comes_out_again(data: bytes, size: int, members: int) -> None:
    assert streams._packing(data) == "plain" or len(data) >= 2
    if streams._packing(data) == "plain":
        for packing, pack in {"gzip": gzip.compress, "zstd": zstd}.items():
            stream, found = unpacked(BytesIO(pack(data) * members))
            assert (drained(stream, size), found) == (data * members, packing)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("packed", [bytes, gzip.compress, zstd])
def test_a_byte_order_mark_is_honoured(encoding: str, packed: Callable[[bytes], bytes]) -> None:
    text = '[{"name": "Zoë 🙂"}]'
    assert read(packed(text.encode(encoding)), 3)[0] == text.encode()


@pytest.mark.parametrize("content", ["a".encode("utf-16") + b"x", "\ud800".encode("utf-16", "surrogatepass")])
def test_broken_utf_16_is_told(content: bytes) -> None:
    assert fault(content) == "bad_encoding"


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_damage_is_told_apart(pack: Callable[[bytes], bytes]) -> None:
    packed = pack(TEXT)
    assert fault(packed[:-5]) == "truncated"
    assert fault(packed[:4]) == "truncated"
    assert fault(packed[:10] + b"\xff" * 8 + packed[18:]) == "bad_compression"
    assert fault(gzip.compress(packed)) == "packed_twice"
    assert fault(zstd(packed)) == "packed_twice"
    assert read(pack(b""))[0] == b""


def test_a_network_that_breaks_is_not_the_files_fault() -> None:
    class Breaking(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 50:
                raise ConnectionResetError
            return super().read(min(size or 20, 20))

    with pytest.raises(ConnectionResetError):
        stream, _ = unpacked(Breaking(gzip.compress(bytes(range(256)))))
        while stream.read(10):
            pass


def test_a_bomb_is_stopped_by_its_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BOMB_FLOOR", 100_000)
    assert fault(gzip.compress(b" " * 1_000_000)) == "too_large"
    assert len(read(gzip.compress(b" " * 99_000))[0]) == 99_000


def test_a_bomb_is_stopped_by_an_absolute_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "UNPACKED_LIMIT", 10_000)
    assert fault(gzip.compress(bytes(range(256)) * 100)) == "too_large"
