"""Mapping: from the text of a record to a row for COPY, or to the list of its errors. Nothing here does I/O."""

from pipeline_project.ingest.mapping.column_counts import MOST_COLUMNS, ColumnCounts, a_few
from pipeline_project.ingest.mapping.mapper import Mapper
from pipeline_project.ingest.mapping.mappers import mapper_for
from pipeline_project.ingest.mapping.patch_mapper import PatchMapper
from pipeline_project.ingest.mapping.probe_keys import ProbeKeys, joined, to_binary_copy, without_repeated_keys
from pipeline_project.ingest.mapping.rows import Bad, ColumnsSeen, FieldError, ObjectPosition, Rows
from pipeline_project.ingest.mapping.versioned_mapper import DIGITS_OF_TOTAL

__all__ = [
    "DIGITS_OF_TOTAL",
    "MOST_COLUMNS",
    "Bad",
    "ColumnCounts",
    "ColumnsSeen",
    "FieldError",
    "Mapper",
    "ObjectPosition",
    "PatchMapper",
    "ProbeKeys",
    "Rows",
    "a_few",
    "converters",
    "joined",
    "mapper_for",
    "to_binary_copy",
    "without_repeated_keys",
]
