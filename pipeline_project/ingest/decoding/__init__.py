"""Decoding: from the bytes of an object to chunks of records, whatever its file format and compression.

The meaning of a field does not belong here.
"""

from pipeline_project.ingest.decoding.faults import ObjectFault, placed
from pipeline_project.ingest.decoding.formats import chunks
from pipeline_project.ingest.decoding.json_records import (
    OVERSIZE,
    RAW_LIMIT,
    UNREADABLE,
    Chunk,
    Envelope,
    Flaw,
    RawRecord,
    decode,
    decode_any_number,
)
from pipeline_project.ingest.decoding.streams import ByteStream

__all__ = [
    "OVERSIZE",
    "RAW_LIMIT",
    "UNREADABLE",
    "ByteStream",
    "Chunk",
    "Envelope",
    "Flaw",
    "ObjectFault",
    "RawRecord",
    "chunks",
    "decode",
    "decode_any_number",
    "placed",
]
