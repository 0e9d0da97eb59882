"""Cut JSON into the bytes of its records, without decoding them: envelope, array, single object, JSON Lines.

Values that follow each other without a separator are read like JSON Lines, as Firehose writes them.
"""

from collections.abc import Iterator

from pipeline_project.ingest.decoding import limits
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.json_envelopes import object_chunks
from pipeline_project.ingest.decoding.json_lines import concatenated_chunks, is_concatenated, is_json_lines, line_chunks
from pipeline_project.ingest.decoding.json_wrappers import checked, unwrapped
from pipeline_project.ingest.decoding.records import Chunk, Envelope
from pipeline_project.ingest.decoding.window import RECORD_SEPARATOR, Window
from pipeline_project.sources.dialect import Dialect


def json_chunks(window: Window, envelope: Envelope, names: FieldNames, dialect: Dialect) -> Iterator[Chunk]:
    """Yield the records of a JSON file. `envelope` is complete after the last chunk.

    Raises ObjectFault with line and column if the file is not JSON, or if it can be read in two ways.
    """
    begins_with = window.skip_space()
    window.look_at_braces()
    window.fill(limits.RECORD_LIMIT + 1)
    if not begins_with:
        raise ObjectFault("empty", "the file is empty: there is no record in it", line=1, column=1)
    chunks = _numbered(_values(window, envelope, names, dialect.records))
    if dialect.record is None:
        return checked(chunks, window, names)
    return chunks if dialect.record == "." else unwrapped(chunks, dialect.record)


def _values(window: Window, envelope: Envelope, names: FieldNames, path: str | None) -> Iterator[Chunk]:
    """Yield the records of all values in the file."""
    is_separated = window.skip_space() == RECORD_SEPARATOR
    first = window.skip_separators()
    if path not in (None, "."):
        while window.skip_separators() == b"{":
            yield from object_chunks(window, envelope, names, path)
    if first == b"[":
        envelope.format = "array"
        yield from concatenated_chunks(window, first)
    elif path in (None, "."):
        if not is_separated and is_json_lines(window):
            envelope.format = "json_lines"
            yield from line_chunks(window)
        elif is_separated or is_concatenated(window):
            envelope.format = "json_lines"
            yield from concatenated_chunks(window, first)
        else:
            yield from object_chunks(window, envelope, names, path)
    _nothing_after(window)


def _numbered(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    ordinal = 1
    for chunk in chunks:
        chunk.first_ordinal = ordinal
        ordinal += len(chunk.records)
        if chunk.records:
            yield chunk


def _nothing_after(window: Window) -> None:
    if window.skip_space():
        raise window.fault(
            "trailing_data", "more data after the end of the JSON value: one value a file, or JSON Lines"
        )
