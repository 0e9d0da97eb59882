"""Detect the format of an object from its content, never from its name, and yield its records as chunks of JSON."""

from collections.abc import Iterator

from pipeline_project.ingest.decoding import archives, csv_records, json_records, parquet_records, workbook_records
from pipeline_project.ingest.decoding.encodings import as_utf8
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.records import Chunk, Envelope
from pipeline_project.ingest.decoding.streams import ByteStream, Peekable, unpacked
from pipeline_project.ingest.decoding.window import RECORD_SEPARATOR, Window
from pipeline_project.sources.dialect import UNDECLARED, Dialect

HEAD = 512
"""Bytes in which the marks of all formats are."""

_EXPORT = "export it as CSV, JSON or Parquet"
_REPACK = "unpack it, or pack it with gzip or zstd"
_TAR = "a tar archive: upload the files in it one by one"
_FOREIGN = (
    (0, b"PK\x05\x06", f"an empty ZIP archive: {_EXPORT}"),
    (
        0,
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        f"a document of an old Excel or Word, or an encrypted workbook: {_EXPORT}",
    ),
    (0, b"%PDF-", f"a PDF document: {_EXPORT}"),
    (4, b"1AY&SY", f"packed with bzip2: {_REPACK}"),
    (0, b"\xfd7zXZ\x00", f"packed with xz: {_REPACK}"),
    (0, b"7z\xbc\xaf\x27\x1c", f"a 7z archive: {_REPACK}"),
    (257, b"ustar\0", _TAR),
    (257, b"ustar  \0", _TAR),
)
"""Foreign formats: offset and bytes that identify each, and what the user can do."""


def chunks(stream: ByteStream, envelope: Envelope, names: FieldNames, dialect: Dialect = UNDECLARED) -> Iterator[Chunk]:
    """Yield the records of an object.

    `envelope.format` is set before the first chunk, the rest of `envelope` after the last chunk. Memory does not grow
    with the object. Raises ObjectFault if the object as a whole cannot be read.
    """
    content, packing = unpacked(stream)
    if content.peek(len(archives.MARK)) == archives.MARK:
        yield from _archived(content, envelope, names, dialect)
    else:
        yield from _plain(content, envelope, names, dialect)
    if packing != "plain":
        envelope.format = f"{envelope.format}+{packing}"


def _archived(content: Peekable, envelope: Envelope, names: FieldNames, dialect: Dialect) -> Iterator[Chunk]:
    """Yield the records of a workbook, or of the only file in a ZIP archive."""
    with archives.spooled(content) as (file, size), archives.opened(file, size) as archive:
        if archives.is_workbook(archive):
            envelope.format = "xlsx"
            file.seek(0)
            unpacked_size = sum(each.file_size for each in archive.infolist())
            yield from workbook_records.workbook_chunks(file, unpacked_size, envelope.notes, names, dialect)
            return
        inner, packing = unpacked(archives.only_file(archive))
        if packing != "plain" or inner.peek(len(archives.MARK)) == archives.MARK:
            raise ObjectFault("packed_twice", "compressed data inside a ZIP archive: pack the file once only")
        yield from _plain(inner, envelope, names, dialect)
        envelope.format = f"{envelope.format}+zip"


def _plain(content: Peekable, envelope: Envelope, names: FieldNames, dialect: Dialect) -> Iterator[Chunk]:
    """Yield the records of a file that is not packed."""
    head = content.peek(HEAD)
    if parquet_records.is_parquet(head):
        envelope.format = "parquet"
        yield from parquet_records.parquet_chunks(content, envelope.notes, names)
        return
    _refuse_foreign(head)
    window = Window(as_utf8(content, dialect.encoding, envelope.notes))
    if window.skip_space() in (b"{", b"[", b"", RECORD_SEPARATOR):
        yield from json_records.json_chunks(window, envelope, names, dialect)
    else:
        window.position = 0  # a line can begin with a tab as its delimiter
        envelope.format = "csv"
        yield from csv_records.csv_chunks(window, envelope.notes, names, dialect)


def _refuse_foreign(content: bytes) -> None:
    for place, mark, what in _FOREIGN:
        if content.startswith(mark, place):
            raise ObjectFault("unknown_format", f"the content is {what}", line=1, column=1)
