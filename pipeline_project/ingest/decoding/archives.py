"""ZIP archives: one data file is read like the file itself, and a workbook is read sheet by sheet.

An archive is read from its end, so the whole archive must be available. A large one is kept on disk.
"""

import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.streams import ByteStream, check_unpacked

SPILL = 8 * 1024 * 1024
"""Size in bytes from which an object is kept on disk."""
MARK = b"PK\x03\x04"
WORKBOOK = "xl/workbook.xml"

_LEFT_BEHIND = ("__MACOSX/", ".DS_Store", "Thumbs.db")
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
_IS_ENCRYPTED = 1
_SHOWN = 5


@contextmanager
def spooled(stream: ByteStream) -> Iterator[tuple[IO[bytes], int]]:
    """Keep a stream in a temporary file. The context is the file and its size."""
    with tempfile.SpooledTemporaryFile(max_size=SPILL) as file:
        size = 0
        while data := stream.read(SPILL):
            file.write(data)
            size += len(data)
        file.seek(0)
        yield file, size


def opened(file: IO[bytes], size: int) -> zipfile.ZipFile:
    """Return the archive in a file of `size` bytes. Raises ObjectFault if it cannot be read, or if it would grow too large."""
    try:
        archive = zipfile.ZipFile(file)
    except _UNREADABLE as error:
        raise _damaged(error) from None
    if any(each.flag_bits & _IS_ENCRYPTED for each in archive.infolist()):
        raise ObjectFault("bad_archive", "the ZIP archive is encrypted: upload it without a password")
    check_unpacked(sum(each.file_size for each in archive.infolist()), size)
    return archive


def is_workbook(archive: zipfile.ZipFile) -> bool:
    """Check whether an archive is a workbook of Excel."""
    return WORKBOOK in archive.namelist()


def only_file(archive: zipfile.ZipFile) -> ByteStream:
    """Return the content of the only data file. Raises ObjectFault if there are several or none."""
    files = [
        each
        for each in archive.infolist()
        if not each.is_dir()
        and not each.filename.startswith(_LEFT_BEHIND[0])
        and not each.filename.endswith(_LEFT_BEHIND[1:])
    ]
    if len(files) != 1:
        shown = ", ".join(repr(each.filename[:50]) for each in files[:_SHOWN])
        raise ObjectFault(
            "bad_archive",
            f"the ZIP archive has {len(files)} files{f' ({shown})' if shown else ''}: upload each of them by itself",
        )
    try:
        return _Member(archive.open(files[0]))
    except _UNREADABLE as error:
        raise _damaged(error) from None


class _Member:
    """A file in an archive. Its errors become errors of the object."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file: Any = file

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except _UNREADABLE as error:
            raise _damaged(error) from None


def _damaged(error: Exception) -> ObjectFault:
    return ObjectFault(
        "bad_archive", f"not a readable ZIP archive ({type(error).__name__}): pack and upload the file again"
    )
