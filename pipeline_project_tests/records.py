"""Objects as the JSON records that they become: for tests of formats, where there is neither ledger nor database."""

import json
from collections.abc import Iterable
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest

from pipeline_project.ingest.decoding import formats
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.field_names import FieldNames
from pipeline_project.ingest.decoding.records import Chunk, Envelope


def read(data: bytes) -> tuple[str, list[Any], list[int | None], dict[int, str]]:
    """Format, records, lines, and the rules of what is no record, by ordinal."""
    envelope = Envelope()
    records: list[Any] = []
    lines: list[int | None] = []
    flaws: dict[int, str] = {}
    for chunk in formats.chunks(BytesIO(data), envelope, FieldNames(["id", "customer_id"])):
        for index, record in enumerate(chunk.records):
            if index in chunk.flaws:
                flaws[len(records) + 1] = chunk.flaws[index][0]
                records.append(bytes(record).decode())
            else:
                records.append(json.loads(bytes(record), parse_float=Decimal))
            lines.append(chunk.line(index))
    return envelope.format, records, lines, flaws


def records_of(chunks: Iterable[Chunk]) -> tuple[list[Any], dict[int, str]]:
    """Valid records decoded and invalid ones as text, and the rules of the invalid ones by ordinal."""
    records: list[Any] = []
    flaws: dict[int, str] = {}
    for chunk in chunks:
        assert chunk.first_ordinal == len(records) + 1
        for index, record in enumerate(chunk.records):
            if index in chunk.flaws:
                flaws[len(records) + 1] = chunk.flaws[index][0]
                records.append(bytes(record).decode())
            else:
                records.append(json.loads(bytes(record), parse_float=Decimal))
    return records, flaws


def fault(data: bytes) -> ObjectFault:
    with pytest.raises(ObjectFault) as caught:
        read(data)
    return caught.value
