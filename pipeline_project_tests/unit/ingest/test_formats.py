"""What all formats have in common: memory that does not grow with the file."""

import bz2
import gzip
import lzma
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from io import BytesIO
from itertools import chain, islice, repeat

import pytest

from pipeline_project.ingest.decoding import formats, limits
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.records import Envelope
from pipeline_project_tests.records import fault

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
        read = sum(
            len(chunk.records) for chunk in formats.chunks(Endless(*FORMS[form], count), Envelope(), FieldNames(["id"]))
        )
        return read, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", FORMS)
def test_memory_does_not_grow_with_the_file(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of eight and one of eighty windows. The last chunks of a table are held back until its end is known."""
    monkeypatch.setattr(limits, "WINDOW", 100_000)
    monkeypatch.setattr(limits, "RECORD_LIMIT", 200_000)
    (few, small), (many, large) = peak(form, 8_000), peak(form, 80_000)
    assert (few, many) == (8_001, 80_001)
    assert large < 1.2 * small


def archive(kind: str) -> bytes:
    content, file = b"id,name\n1,A\n" * 100, BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("xl/workbook.xml", content)
    else:
        with tarfile.open(fileobj=file, mode="w", format=getattr(tarfile, kind)) as packed:
            member = tarfile.TarInfo("a.csv")
            member.size = len(content)
            packed.addfile(member, BytesIO(content))
    return file.getvalue()


FOREIGN = {
    "an empty ZIP archive": b"PK\x05\x06" + b"\0" * 18,
    "a document of an old Excel": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(range(256)),
    "a PDF document: export it": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
    "packed with bzip2: unpack it": bz2.compress(b"id,name\n1,A\n"),
    "packed with xz: unpack it": lzma.compress(b"id,name\n1,A\n"),
    "a 7z archive": b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(range(256)),
    "a tar archive: upload the files": archive("USTAR_FORMAT"),
    "a tar archive": archive("GNU_FORMAT"),
}


@pytest.mark.parametrize("told", FOREIGN)
@pytest.mark.parametrize("packed", [False, True])
def test_what_people_upload_besides_is_called_by_its_name(told: str, packed: bool) -> None:
    """Not "export the file as UTF-8"."""
    found = fault(gzip.compress(FOREIGN[told]) if packed else FOREIGN[told])
    assert (found.code, found.line, found.column) == ("unknown_format", 1, 1)
    assert told in found.message
