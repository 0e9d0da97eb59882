"""Read samples as loading would read them, and collect the texts of each column."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline_project.errors import Permanent
from pipeline_project.ingest.decoding import (
    UNREADABLE,
    Chunk,
    Envelope,
    FieldNames,
    ObjectFault,
    chunks,
    decode,
    placed,
    readings,
)
from pipeline_project.ingest.drafting.known_names import FIELDS, OWN_ID
from pipeline_project.sources.dialect import Dialect

MOST_RECORDS = 200_000
"""Records of a file that are looked at."""
MOST_TEXTS = 20_000
"""Different texts of a column that are kept. Only formats that read all of them are proposed."""
SNIFFED = 1024 * 1024
"""Bytes in which a header is searched that names no known ID."""
DELIMITERS = (",", ";", "\t", "|", "~", "^")
STAND_IN_ENCODING = "cp1252"
"""The encoding in which a draft reads on, until a person says which encoding is right."""

_NAME = re.compile(r"[^\W\d][\w .()/\-]*")
_VALUE = re.compile(r"[-+(]?[\d.,'/:\- ]*\d[\d.,'/:\- ]*[)%]?|")


@dataclass
class ColumnSample:
    """The values of one column."""

    name: str
    filled: int = 0
    texts: dict[str, str] = field(default_factory=dict)
    """Text -> where it occurs first."""
    kinds: Counter[str] = field(default_factory=Counter)
    """How often each type of JSON occurs."""
    distinct: set[int] = field(default_factory=set)
    """Hashes of the values."""

    @property
    def is_unique(self) -> bool:
        """Return whether no value occurs twice."""
        return len(self.distinct) == self.filled

    def add(self, value: Any, place: str) -> None:
        self.filled += 1
        self.kinds[type(value).__name__] += 1
        self.distinct.add(hash(str(value)))
        if isinstance(value, str) and len(self.texts) < MOST_TEXTS:
            self.texts.setdefault(value.strip(), place)


@dataclass
class Sample:
    """The properties that the samples of a source share."""

    records: int = 0
    columns: dict[str, ColumnSample] = field(default_factory=dict)
    dialect: Dialect = field(default_factory=Dialect)
    """The settings that were needed to read them."""
    formats: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    flaws: Counter[str] = field(default_factory=Counter)
    """Records that are no records, by rule."""
    questions: list[tuple[str, list[str]]] = field(default_factory=list)
    """The open questions for a person, each with the settings that answer it."""


def read_samples(paths: Sequence[Path]) -> Sample:
    """Read the samples. Raises Permanent if one of them cannot be read whatever is declared."""
    sample = Sample()
    names = general_names(())
    for path in paths:
        names = _read(path, sample, names)
    if not sample.records and not sample.questions:
        raise Permanent(f"{', '.join(map(str, paths))}: there are no records. Name a file with records.")
    return sample


def general_names(ids: Iterable[str]) -> FieldNames:
    """Return the names that systems usually give to fields, and these names of the ID."""
    fields = {name: each for each, usual in FIELDS.items() for name in usual}
    fields |= dict.fromkeys(ids, OWN_ID)
    return FieldNames(
        ids=frozenset(name for name, each in fields.items() if each == OWN_ID), fields=fields, id_fields=(OWN_ID,)
    )


def _read(path: Path, sample: Sample, names: FieldNames) -> FieldNames:
    """Read one file. Return the names that found its header."""
    tries = 0
    while True:
        envelope, fresh = Envelope(), replace(sample, columns={}, flaws=Counter())
        tries += 1
        try:
            with path.open("rb") as file:
                _collect(chunks(file, envelope, names, sample.dialect), fresh, path)
        except ObjectFault as fault:
            if tries == 1 and fault.code == "bad_encoding" and sample.dialect.encoding is None:
                sample.dialect = replace(sample.dialect, encoding=STAND_IN_ENCODING)
                sample.questions.append(_encoding_question(path))
            elif tries <= 2 and fault.code in ("no_header", "unknown_format") and (name := _sniffed_id(path, sample)):
                names = general_names([name])
            elif fault.code.startswith("ambiguous"):
                sample.questions.append((f"{path.name}: {placed(fault.message, fault.line, fault.column)}.", []))
                return names
            else:
                raise Permanent(f"{path}: {placed(fault.message, fault.line, fault.column)}") from None
            continue
        _join(sample, fresh)
        sample.formats.append(envelope.format)
        shape = ", ".join(f"{what.replace('_', ' ')} {value!r}" for what, value in envelope.notes.shape.items())
        sample.shapes.append(f"{path.name}: {envelope.format}{f', {shape}' if shape else ''}")
        return names


def _collect(found: Iterable[Chunk], sample: Sample, path: Path) -> None:
    sample.records = 0
    for chunk in found:
        for index, record in enumerate(chunk.records):
            if index in chunk.flaws:
                sample.flaws[chunk.flaws[index][0]] += 1
                continue
            try:
                fields = decode(record)
            except UNREADABLE:
                sample.flaws["bad_json"] += 1
                continue
            line = chunk.line(index)
            place = f"{path.name} {f'line {line}' if line else f'record {chunk.first_ordinal + index}'}"
            sample.records += 1
            for name, value in _flat(fields):
                if value is not None and value != "":
                    sample.columns.setdefault(name, ColumnSample(name)).add(value, place)
        if sample.records >= MOST_RECORDS:
            return


def _flat(fields: Any) -> Iterable[tuple[str, Any]]:
    """Yield the fields of a record. A field of a nested object follows the object's name and a dot."""
    for name, value in fields.items() if isinstance(fields, dict) else ():
        if isinstance(value, dict):
            for inner, each in value.items():
                yield f"{name}.{inner}", each
        else:
            yield name, value


def _join(sample: Sample, fresh: Sample) -> None:
    sample.records += fresh.records
    sample.flaws += fresh.flaws
    for name, column in fresh.columns.items():
        known = sample.columns.setdefault(name, ColumnSample(name))
        known.filled += column.filled
        known.kinds += column.kinds
        known.distinct |= column.distinct
        known.texts = {**column.texts, **known.texts}


def _encoding_question(path: Path) -> tuple[str, list[str]]:
    """Return the question for the encoding, with the first line that shows a difference in each encoding."""
    with path.open("rb") as file:
        content = file.read(SNIFFED)
    line = next((each for each in content.splitlines() if not each.isascii()), b"")[:100]
    found = readings(line)
    shown = "; ".join(f"{text.strip()!r} in {', '.join(encodings)}" for text, encodings in found.items())
    settings = [f'encoding = "{encodings[0]}"' for encodings in found.values()]
    return f"Which encoding has the file? It is not UTF-8. A line of it is {shown or 'not readable'}.", settings


def _sniffed_id(path: Path, sample: Sample) -> str | None:
    """Return the name of the column that is probably the ID, in a table whose header names no known ID."""
    with path.open("rb") as file:
        content = file.read(SNIFFED)
    text = content.decode(sample.dialect.encoding or "utf-8-sig", errors="replace")
    best: tuple[float, list[list[str]]] | None = None
    for delimiter in DELIMITERS:
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True))
        except csv.Error:
            continue
        widths = Counter(len(row) for row in rows if any(row))
        if not widths:
            continue
        width, times = max(widths.items(), key=lambda each: each[1] * (each[0] - 1))
        score = times / sum(widths.values()) * (1 - 1 / width)
        if width > 1 and (best is None or score > best[0]):
            best = score, [row for row in rows if len(row) == width]
    return None if best is None else _id_of_rows(best[1])


def _id_of_rows(rows: list[list[str]]) -> str | None:
    """Return the name over the first column whose cells are filled and all different. None if no row is a header."""
    for place, row in enumerate(rows[:5]):
        cells = [cell.strip() for cell in row]
        body = rows[place + 1 :]
        if not body or len(set(cells)) < len(cells) or not all(map(_NAME.fullmatch, cells)):
            continue
        if any(map(_VALUE.fullmatch, cells)):
            continue
        for column, name in enumerate(cells):
            values = [each[column].strip() for each in body]
            if all(values) and len(set(values)) == len(values):
                return name
    return None
