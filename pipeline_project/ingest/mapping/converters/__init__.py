"""Converters: from a column of values as a source writes them to the form that the models and the fast path read.

A converter takes a column and returns a column of the same length. A missing value stays a missing value. A text that is
not written in a declared format becomes UNREAD. A converter has no state of one object, and does not know fields.
"""

from pipeline_project.ingest.mapping.converters.columns import UNREAD, Column, Convert, Converter, Single, each_value
from pipeline_project.ingest.mapping.converters.ids import IdFormat, has_doubtful_ids, id_error
from pipeline_project.ingest.mapping.converters.numbers import NumberFormat, proposals
from pipeline_project.ingest.mapping.converters.texts import (
    NULL_TEXTS,
    NULL_TEXTS_OF_CELLS,
    FlagFormat,
    normal_form,
    normal_form_of,
    unwrapped,
)
from pipeline_project.ingest.mapping.converters.times import TimeFormat, fitting_formats, is_zero, iso_time

__all__ = [
    "NULL_TEXTS",
    "NULL_TEXTS_OF_CELLS",
    "UNREAD",
    "Column",
    "Convert",
    "Converter",
    "FlagFormat",
    "IdFormat",
    "NumberFormat",
    "Single",
    "TimeFormat",
    "columns",
    "each_value",
    "fitting_formats",
    "has_doubtful_ids",
    "id_error",
    "ids",
    "is_zero",
    "iso_time",
    "normal_form",
    "normal_form_of",
    "numbers",
    "proposals",
    "texts",
    "times",
    "unwrapped",
]
