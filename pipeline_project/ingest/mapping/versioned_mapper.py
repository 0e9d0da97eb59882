"""Entities: a record becomes the state of a customer, supplier, account or company."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, localcontext
from itertools import chain, compress
from operator import itemgetter
from typing import Any

import numpy as np

from pipeline_project.datasets.entities import Entity
from pipeline_project.ingest.decoding import UNREADABLE, Chunk
from pipeline_project.ingest.mapping.copy_text import copy_text, encode, escape, is_plain, json_texts
from pipeline_project.ingest.mapping.fast_path import (
    NO_CONTENT,
    FastColumns,
    amounts,
    ids,
    microsecond,
    microseconds,
    unquoted,
)
from pipeline_project.ingest.mapping.mapper import TOGETHER, Mapper, Texts, where
from pipeline_project.ingest.mapping.probe_keys import ProbeKeys, joined
from pipeline_project.ingest.mapping.rows import FieldError, ObjectPosition, Row
from pipeline_project.ingest.mapping.struct_columns import Column, Projection
from pipeline_project.schema.fields import ID_LENGTH
from pipeline_project.sources.source import Source

DIGITS_OF_TOTAL = 60
"""Enough for all digits of a sum: an amount has 18 places before the point and 20 behind it."""


class EntityMapper(Mapper):
    """Entities. The only ones with a digest of the record: a re-sent record that did not change needs no mapping."""

    dataset = "entities"
    key_columns = ("canonical_id",)
    hot_columns = (
        *("name", "status", "industry", "region", "country", "customer_tier"),
        *("revenue", "employees", "lifetime_value", "total_spent", "total_orders"),
    )
    fields = (*hot_columns, "source_id", "entity_type", "deleted")
    content_columns = (
        "entity_type",
        "deleted",
        *hot_columns,
        "attributes",
        "quality_score",
        "mapping_version",
        "record_digest",
    )

    def __init__(self, source: Source, mapping_version: int = 0) -> None:
        super().__init__(source, mapping_version)
        self._attributes = [name for name in self.model.model_fields if name not in (*self.fields, "updated_at")]
        self._probe_projection = Projection({name: self._aliases[name] for name in ("source_id", "updated_at")})
        self._hot = itemgetter(*self.hot_columns)
        self._total_columns = sorted({*source.totals.values()})
        self._summed_up = Projection({name: self._aliases[name] for name in self._total_columns})
        # By how many of the model's fields were not sent.
        fields = len(self._aliases.keys() - NO_CONTENT)
        self._qualities = [f"{(fields - missing) / fields:.2f}" for missing in range(fields + 1)]
        self._digest_seed = f"{source.name} {self.dataset} {mapping_version} ".encode()

    def _texts(self, found: FastColumns) -> Texts:
        _, *hot, source_ids, kinds, flags = found.columns
        names, statuses = hot[:2]
        default = self.source.fallbacks["entity_type"]
        ends = {status for status in set(statuses) if status.lower() == "deleted"}
        deleted = ["t" if flag or status in ends else "f" for flag, status in zip(flags, statuses, strict=True)]
        columns = list(map("\t".join, zip([kind or default for kind in kinds], deleted, *hot, strict=True)))
        attributes, left_out = json_texts(found.attributes)
        left_out += [
            *where("" in source_ids, (not source_id for source_id in source_ids)),
            *where("" in names, (not name and end == "f" for name, end in zip(names, deleted, strict=True))),
            *where(not is_plain(columns, len(hot) + 1), (not is_plain([text], len(hot) + 1) for text in columns)),
        ]
        qualities = [self._qualities[missing] for missing in found.missing]
        contents = list(map("\t".join, zip(columns, attributes, qualities, strict=True)))
        return Texts(list(map(f"{self.source.name}_".__add__, source_ids)), contents, left_out)

    def sums(self, chunk: Chunk, places: Sequence[int], position: ObjectPosition) -> dict[str, Decimal]:
        """Of good records, the sums that there are control totals for."""
        try:
            sent = self._summed_up.read([chunk.records[place] for place in places])
        except UNREADABLE:
            columns: list[Column] = [[] for _ in self._total_columns]
            odd = places
        else:
            columns = [amounts(unquoted(sent[name])) for name in self._total_columns]
            plain = [None not in texts for texts in zip(*columns, strict=True)]
            odd = [place for place, is_plain in zip(places, plain, strict=True) if not is_plain]
            columns = [list(compress(column, plain)) for column in columns]
        # What only the models can tell.
        rows = [self.map(chunk.records[place], chunk.first_ordinal + place, position) for place in odd]
        fields = [row.fields for row in rows if isinstance(row, Row)]
        with localcontext(prec=DIGITS_OF_TOTAL):
            return {
                name: sum(map(Decimal, filter(None, chain(column, (each[name] for each in fields)))), Decimal(0))
                for name, column in zip(self._total_columns, columns, strict=True)
            }

    def _provenances(self, chunk: Chunk, places: Sequence[int]) -> Iterator[str]:
        version = f"\t{self.mapping_version}\t"
        return (version + hashed.hexdigest()[:32] for hashed in self._digests(chunk, places))

    def _digests(self, chunk: Chunk, places: Iterable[int]) -> Iterator[Any]:
        """The SHA-256 of each record behind the seed, which is hashed but once."""
        seed = hashlib.sha256(self._digest_seed)
        for place in places:
            hashed = seed.copy()
            hashed.update(chunk.records[place])
            yield hashed

    def probe_keys(self, chunk: Chunk, position: ObjectPosition, object_place: int) -> ProbeKeys:
        """Of the records that look ordinary; others have to be mapped to know. `object_place` stands for their object."""
        places = [place for place in range(len(chunk.records)) if place not in chunk.flaws]
        some = [places[begin : begin + TOGETHER] for begin in range(0, len(places), TOGETHER)]
        return joined([self._probe_keys_of(chunk, each, position, object_place) for each in some])

    def _probe_keys_of(self, chunk: Chunk, places: list[int], position: ObjectPosition, object_place: int) -> ProbeKeys:
        try:
            seen = self._probe_projection.read([chunk.records[place] for place in places])
        except UNREADABLE:
            return joined([])  # which of them will be found in mapping them
        source_ids = ids(seen["source_id"])
        modified_at = microsecond(position.modified_at)
        times = microseconds(seen["updated_at"], modified_at)
        good = times <= modified_at
        if not all(source_ids) or "\0" in "".join(source_ids):
            good &= [bool(source_id) and "\0" not in source_id for source_id in source_ids]
        if not good.all():
            places, source_ids, times = list(compress(places, good)), list(compress(source_ids, good)), times[good]
        return ProbeKeys(
            list(map(f"{self.source.name}_".__add__, source_ids)),
            times,
            np.array(places, np.int64) + chunk.first_ordinal,
            np.full(len(places), object_place),
            [hashed.digest() for hashed in self._digests(chunk, places)],
        )

    def _key(self, record: Entity) -> str:
        return self._canonical(record.source_id)

    def _key_line(self, record: Entity) -> str:
        return escape(self._canonical(record.source_id))

    def _check(self, record: Entity) -> list[FieldError]:
        if record.name is None and not _is_deleted(record):
            return [FieldError(self._aliases["name"][0][-1], "missing", "is required: an entity has a name")]
        return []

    def _content(self, record: Entity, others: dict[str, Any]) -> str:
        values = record.__dict__
        attributes = {name: value for name in self._attributes if (value := values[name]) is not None}
        if others:
            attributes = {**others, **attributes}
        missing = sum(value is None for name, value in values.items() if name not in NO_CONTENT)
        hot = [
            value if type(value) is str else "" if value is None else copy_text(value) for value in self._hot(values)
        ]
        kind = record.entity_type or self.source.fallbacks["entity_type"]
        columns = "\t".join((kind, "t" if _is_deleted(record) else "f", *hot))
        if "\\" in columns or "\n" in columns or "\r" in columns or columns.count("\t") > len(hot) + 1:
            columns = "\t".join((escape(kind), "t" if _is_deleted(record) else "f", *map(copy_text, self._hot(values))))
        # JSON has its control characters escaped; only the backslashes of that are COPY's too.
        text = encode(attributes).decode() if attributes else "{}"
        return f"{columns}\t{escape(text)}\t{self._qualities[missing]}"

    def _key_of_bad(self, fields: dict[str, Any]) -> str | None:
        value = self._sent("source_id", fields)
        if not isinstance(value, str | int) or isinstance(value, bool):
            return None
        text = str(value).strip()
        return self._canonical(text) if 0 < len(text) <= ID_LENGTH and "\0" not in text else None


def _is_deleted(record: Entity) -> bool:
    return record.deleted or (record.status is not None and record.status.lower() == "deleted")
