"""What all formats have in common: memory that does not grow with the file."""

import tracemalloc
from collections.abc import Iterator
from itertools import chain, islice, repeat

import pytest

from pipeline_project.ingest import csv_records, formats, json_records
from pipeline_project.ingest.json_records import Envelope

RECORD = b'{"id": 12345678, "name": "A company of some name", "revenue": 1234.5, "address": {"city": "Somewhere"}}'
ROW = b"12345678,A company of some name,1234.5,Somewhere\n"
FORMS: dict[str, tuple[bytes, bytes, bytes]] = {
    "array": (b"[", RECORD + b",\n", RECORD + b"]"),
    "envelope": (b'{"records": [', RECORD + b",", RECORD + b'], "metadata": {}}'),
    "json_lines": (b"", RECORD + b"\n", RECORD),
    "csv": (b"id,name,revenue,city\n", ROW, ROW),
}


class Endless:
    """A file of so many records that is never there as a whole."""

    def __init__(self, begin: bytes, each: bytes, end: bytes, count: int) -> None:
        several = 1000
        self._pieces: Iterator[bytes] = chain([begin], islice(repeat(each * several), count // several), [end])
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        self._rest = self._rest or next(self._pieces, b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def peak(form: str, count: int) -> tuple[int, int]:
    """Records that were read, and the most memory that was taken for it."""
    tracemalloc.start()
    try:
        read = sum(len(chunk.records) for chunk in formats.chunks(Endless(*FORMS[form], count), Envelope(), ["id"]))
        return read, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", FORMS)
def test_memory_does_not_grow_with_the_file(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of four and one of forty windows."""
    for module in (json_records, csv_records):
        monkeypatch.setattr(module, "WINDOW", 100_000)
    monkeypatch.setattr(json_records, "RECORD_LIMIT", 200_000)
    (few, small), (many, large) = peak(form, 4_000), peak(form, 40_000)
    assert (few, many) == (4_001, 40_001)
    assert large < 1.2 * small
