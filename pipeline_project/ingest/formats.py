"""Which format an object has, judged by its content and never by its name, and its records as chunks of JSON texts."""

from collections.abc import Collection, Iterator

from pipeline_project.ingest import csv_records, json_records, parquet_records
from pipeline_project.ingest.json_records import Chunk, Envelope, Window
from pipeline_project.ingest.streams import ByteStream, plain


def chunks(stream: ByteStream, envelope: Envelope, id_spellings: Collection[str]) -> Iterator[Chunk]:
    """The records of an object. `envelope.format` is known with the first chunk, all of `envelope` after the last.

    Memory does not grow with the object. Raises ObjectFault when the object as a whole cannot be read.
    """
    text, packing = plain(stream)
    window = Window(text)
    first = window.skip_space()
    if first in (b"{", b"[", b""):
        pieces = json_records.json_chunks(window, envelope)
    elif window.buffer.startswith(parquet_records.PARQUET):
        envelope.format = "parquet"
        pieces = parquet_records.parquet_chunks(_Rest(window, text))
    else:
        envelope.format = "csv"
        pieces = csv_records.csv_chunks(window, id_spellings)
    yield from pieces
    if packing != "plain":
        envelope.format = f"{envelope.format}+{packing}"


class _Rest:
    """What the window has read already, then the rest."""

    def __init__(self, window: Window, stream: ByteStream) -> None:
        self._head = window.buffer
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        data, self._head = self._head[:size], self._head[size:]
        return data or self._stream.read(size)
