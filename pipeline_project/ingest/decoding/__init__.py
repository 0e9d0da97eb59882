"""Decoding: from the bytes of an object to chunks of records, whatever its file format and compression.

The meaning of a field does not belong here.
"""

from pipeline_project.ingest.decoding.encodings import readings
from pipeline_project.ingest.decoding.faults import ObjectFault, placed
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.formats import chunks
from pipeline_project.ingest.decoding.json_values import UNREADABLE, decode, decode_any_number
from pipeline_project.ingest.decoding.limits import RAW_LIMIT
from pipeline_project.ingest.decoding.notes import NOTES, Notes, Sample
from pipeline_project.ingest.decoding.records import OVERSIZE, Chunk, Envelope, Flaw, RawRecord
from pipeline_project.ingest.decoding.streams import ByteStream

__all__ = [
    "NOTES",
    "OVERSIZE",
    "RAW_LIMIT",
    "UNREADABLE",
    "ByteStream",
    "Chunk",
    "Envelope",
    "FieldNames",
    "Flaw",
    "Notes",
    "ObjectFault",
    "RawRecord",
    "Sample",
    "chunks",
    "decode",
    "decode_any_number",
    "placed",
    "readings",
]
