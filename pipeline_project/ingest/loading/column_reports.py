"""Describe how an object was read, for the column report: its columns, the field of each, and how often each was filled."""

from collections.abc import Iterable
from typing import Any

from pipeline_project.ingest.ledger import ColumnSet
from pipeline_project.ingest.loading.microbatches import Opened
from pipeline_project.ingest.mapping import MOST_COLUMNS, Mapper

LONGEST_NAME = 200
"""Most characters of a column's name that the ledger keeps."""
LONGEST_TEXT = 50
"""Most characters of a value that could not be read."""


def describe(mapper: Mapper, opened: Opened) -> None:
    """Put the columns of an object and its reading into its outcome."""
    counts, notes, seen = opened.counts, opened.envelope.notes, opened.seen
    paths = [(name,) for name in notes.columns]
    paths += sorted(counts.filled.keys() - {*paths})
    paths = paths[:MOST_COLUMNS]
    fields = mapper.fields_of(paths)
    _note_values(mapper, opened, [path[0] for path, field in zip(paths, fields, strict=True) if field is None])
    if paths:
        opened.outcome.columns = ColumnSet(
            source=mapper.source.name,
            dataset=mapper.dataset.name,
            variant=next((each.keys for each in mapper.source.variants if each.fits(opened.claimed.key)), ""),
            names=tuple(_storable(".".join(path))[:LONGEST_NAME] for path in paths),
            fields=tuple(fields),
        )
    opened.outcome.reading = {
        "header": bool(notes.columns),
        "records": counts.records,
        "filled": [counts.filled[path] for path in paths],
        "unread": {
            field: {"count": count, "samples": [_storable(str(each.value)[:LONGEST_TEXT]) for _, each in examples]}
            for field, count in sorted(seen.unread.items())
            if (examples := seen.unread_examples.get(field)) is not None
        },
        "shape": {**{name: _storable(value) for name, value in notes.shape.items()}, **_kind_of_records(mapper)},
        "notes": {
            code: {
                "count": count,
                "samples": [[each.line, _storable(each.text)] for each in notes.samples.get(code, ())],
            }
            for code, count in sorted(notes.counts.items())
        },
    }


def _note_values(mapper: Mapper, opened: Opened, others: Iterable[str]) -> None:
    """Add to the notes what was found in the values. `others` are the names of columns that no field reads."""
    seen, notes = opened.seen, opened.envelope.notes
    if seen.nulls:
        notes.add("null_text", seen.nulls)
    for name in sorted(seen.renamed):
        notes.add("renamed_field", sample=f"{name} is read as {seen.renamed[name]}")
    for name in sorted(seen.no_flags):
        notes.add("no_flag", sample=name)
    for name in others:
        if name not in seen.renamed and mapper.reading.looks_like_deletion(name):
            notes.add("deletion_hint", sample=name)
    for field, count in sorted(seen.unread.items()):
        (_, first), *_ = seen.unread_examples[field]
        notes.add("field_unread", count, sample=f"{first.error.field}: {first.value}")


def _kind_of_records(mapper: Mapper) -> dict[str, str]:
    return {"records": "partial"} if mapper.source.is_partial(mapper.dataset.name) else {}


def _storable(value: Any) -> Any:
    """Return a value of JSON as PostgreSQL can store it: without the NUL character."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
