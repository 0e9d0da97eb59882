"""Single records as the rows that they become: for tests of the mapping, where there is no database."""

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pipeline_project.datasets.registry import datasets
from pipeline_project.ingest.mapping.mapper import Mapper
from pipeline_project.ingest.mapping.mappers import mapper_class
from pipeline_project.ingest.mapping.rows import Bad, FieldError, ObjectPosition, Row, Rows
from pipeline_project.sources.registry import sources
from pipeline_project.sources.source import Source

NOW = datetime(2025, 1, 10, 12, tzinfo=UTC)
POSITION = ObjectPosition(7, NOW)


def new_mapper(source: Source, dataset: str) -> Mapper:
    """A mapper that has seen no record yet."""
    declared = datasets()[dataset]
    return mapper_class(declared)(source, declared)


def mapped(record: Any, source: str = "legacy", dataset: str = "entities") -> Row | Bad:
    raw = record if isinstance(record, bytes) else json.dumps(record).encode()
    return new_mapper(sources()[source], dataset).map(raw, 1, POSITION)


def columns(row: Row | Bad, source: str = "legacy", dataset: str = "entities") -> dict[str, str]:
    """The row's line, as PostgreSQL would read it."""
    assert isinstance(row, Row), row
    mapper = new_mapper(sources()[source], dataset)
    unescape = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}
    values = []
    for text in row.line.split("\t"):
        result, position = "", 0
        while position < len(text):
            piece = text[position : position + 2]
            result += unescape.get(piece, text[position])
            position += 2 if piece in unescape else 1
        values.append(result)
    return dict(zip(mapper.columns, values, strict=True))


class Told(NamedTuple):
    """What is loaded of a record."""

    key: str
    updated_at: datetime
    ordinal: int
    line: str


def told(rows: Rows | Row) -> list[Told]:
    """The same of many rows as of one."""
    if isinstance(rows, Row):
        return [Told(*rows[:4])]
    return list(map(Told, rows.keys, rows.times, rows.ordinals, rows.lines))


def errors(row: Row | Bad) -> list[FieldError]:
    """The errors of a record, or of the values without which it became a row."""
    found = row.errors if isinstance(row, Bad) else [each.error for each in row.findings.unread]
    assert found, row
    return found


def rules(row: Row | Bad) -> list[tuple[str, str]]:
    return [(error.field, error.rule) for error in errors(row)]
