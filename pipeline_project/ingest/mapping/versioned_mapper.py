"""The mapper of datasets that keep their history: digests of records, probe keys, control totals and the quality score."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from itertools import chain, compress
from typing import Any, get_type_hints

import numpy as np

from pipeline_project.ingest.decoding import UNREADABLE, Chunk, RawRecord
from pipeline_project.ingest.mapping.column_readers import ids, microsecond, microseconds, number_reader, unquoted
from pipeline_project.ingest.mapping.converters import UNREAD
from pipeline_project.ingest.mapping.dataset_mapper import DatasetMapper
from pipeline_project.ingest.mapping.fast_path import NO_CONTENT, FastColumns
from pipeline_project.ingest.mapping.mapper import RENAMED, TOGETHER
from pipeline_project.ingest.mapping.probe_keys import ProbeKeys, joined
from pipeline_project.ingest.mapping.rows import ObjectPosition, Row
from pipeline_project.ingest.mapping.struct_columns import Column, Path, Projection, is_missing
from pipeline_project.schema.dataset import Dataset
from pipeline_project.schema.record import Record
from pipeline_project.sources.dialect import Dialect
from pipeline_project.sources.source import Source

DIGITS_OF_TOTAL = 60
"""Enough for all digits of a sum: an amount has 18 places before the point and 20 after it."""


class VersionedMapper(DatasetMapper):
    """Maps records of a dataset of the kind Versioned.

    Each row carries the digest of its record. A record that is sent again without a change needs no mapping.
    """

    def __init__(
        self,
        source: Source,
        dataset: Dataset,
        mapping_version: int = 0,
        dialect: Dialect | None = None,
        *,
        cells: bool = False,
    ) -> None:
        super().__init__(source, dataset, mapping_version, dialect, cells=cells)
        if self._own_id is None:
            raise TypeError(f"{dataset.name}: a versioned dataset needs a field that is declared with own_id()")
        self.content_columns = (*self.content_columns, "quality_score", "mapping_version", "record_digest")
        self._identity = self._own_id
        self.probed = (self._identity, "updated_at")
        self._probe_projection = Projection({name: self._aliases[name] for name in self.probed})
        self._total_columns = sorted({*source.totals_of(dataset.name).values()})
        hints = get_type_hints(self.model, include_extras=True)
        self._total_readers = [number_reader(hints[name]) for name in self._total_columns]
        self._summed_up = self._projection(self._total_columns)
        # By how many of the model's fields were not sent.
        fields = len(self._aliases.keys() - NO_CONTENT)
        self._qualities = [f"{(fields - missing) / fields:.2f}" for missing in range(fields + 1)]
        self._version = f"\t{mapping_version}\t"
        self._seeded = hashlib.sha256(f"{source.name} {dataset.name} {mapping_version} {self._way}".encode())

    def _content(self, record: Record, others: dict[str, Any]) -> str:
        # No more than counting: a generator of comparisons takes five times as long. NO_CONTENT is left out.
        missing = list(record.__dict__.values()).count(None) - (record.updated_at is None)
        return f"{super()._content(record, others)}\t{self._qualities[missing]}"

    def _further(self, found: FastColumns) -> list[Column]:
        return [[self._qualities[missing] for missing in found.missing]]

    def sums(self, chunk: Chunk, places: Sequence[int], position: ObjectPosition) -> dict[str, Decimal]:
        """Return the sums of valid records that there are control totals for."""
        try:
            sent = self._summed_up.read([chunk.records[place] for place in places])
        except UNREADABLE:
            columns: list[Column] = [[] for _ in self._total_columns]
            odd = places
        else:
            columns = [
                read(unquoted(self._converted(name, sent[name])))
                for name, read in zip(self._total_columns, self._total_readers, strict=True)
            ]
            plain = [None not in texts for texts in zip(*columns, strict=True)]
            odd = [place for place, is_plain in zip(places, plain, strict=True) if not is_plain]
            columns = [list(compress(column, plain)) for column in columns]
        # These records only the models can read.
        rows = [self.map(chunk.records[place], chunk.first_ordinal + place, position) for place in odd]
        fields = [row.fields for row in rows if isinstance(row, Row)]
        with localcontext(prec=DIGITS_OF_TOTAL):
            return {
                name: sum(map(Decimal, filter(None, chain(column, (each[name] for each in fields)))), Decimal(0))
                for name, column in zip(self._total_columns, columns, strict=True)
            }

    def _provenance(self, record: RawRecord, mark: bytes, left_out: Collection[str] = ()) -> str:  # noqa: ARG002 of partial records
        return self._version + self._digest(record, mark).hexdigest()[:32]

    def _provenances(self, records: Sequence[RawRecord], marks: Sequence[bytes]) -> Iterable[str]:
        return map(self._provenance, records, marks)

    def _digest(self, record: RawRecord, mark: bytes) -> Any:
        """Return the SHA-256 of the seed, a record and its mark. The seed was hashed once."""
        hashed = self._seeded.copy()
        hashed.update(record)
        if mark:
            hashed.update(mark)
        return hashed

    def _note_variants(self, renamed: Mapping[str, str]) -> None:
        for name, field in renamed.items():
            if field in self.probed and (meant := self.reading.alias(name)) is not None:
                self._probe_projection.add_variant(meant[1], name)

    def probe_keys(self, chunk: Chunk, position: ObjectPosition, object_place: int) -> ProbeKeys:
        """Return the probe keys of the records that the fast path can read. The others have to be mapped.

        This is a hot path. It replaces the mapping of records that are sent again, at a fifth of the cost. A record with a
        probe key maps to a row with the same key, time and digest; tests compare them. `object_place` names the object.
        """
        places = [place for place in range(len(chunk.records)) if place not in chunk.flaws]
        some = [places[begin : begin + TOGETHER] for begin in range(0, len(places), TOGETHER)]
        return joined([self._probe_keys_of(chunk, each, position, object_place) for each in some])

    def _projection(self, names: Iterable[str]) -> Projection:
        fields = {name: self._aliases[name] for name in names}

        def meant(name: str) -> Path | None:
            found = self.reading.alias(name)
            return found[1] if found is not None and found[0].name in fields else None

        return Projection(fields, meant)

    def _converted(self, name: str, sent: Column) -> Column:
        """Convert a column. A value that stands for none is UNREAD: perhaps there is one under the next alias."""
        convert = self.reading.fields[name].convert
        if convert is None:
            return sent
        converted = convert(sent)
        if converted is sent or "" not in converted:
            return converted
        pairs = zip(converted, sent, strict=True)
        return [UNREAD if value == "" and not is_missing(before) else value for value, before in pairs]

    def _probe_keys_of(self, chunk: Chunk, places: list[int], position: ObjectPosition, object_place: int) -> ProbeKeys:
        try:
            seen, renamed = self._probe_projection.read_marked([chunk.records[place] for place in places])
        except UNREADABLE:
            return joined([])  # mapping will show which record it is
        source_ids = ids(self._converted(self._identity, seen[self._identity]))
        modified_at = microsecond(position.modified_at)
        times = microseconds(self._converted("updated_at", seen["updated_at"]), modified_at)
        good = times <= modified_at
        marks = (
            [RENAMED if place in renamed else b"" for place in range(len(places))] if renamed else [b""] * len(places)
        )
        if not all(source_ids) or "\0" in "".join(source_ids):
            good &= [bool(source_id) and "\0" not in source_id for source_id in source_ids]
        if not good.all():
            places, source_ids, times = list(compress(places, good)), list(compress(source_ids, good)), times[good]
            marks = list(compress(marks, good))
        return ProbeKeys(
            list(map(self._prefix.__add__, source_ids)),
            times,
            np.array(places, np.int64) + chunk.first_ordinal,
            np.full(len(places), object_place),
            [self._digest(chunk.records[place], mark).digest() for place, mark in zip(places, marks, strict=True)],
        )
