"""Options of a result: what a caller chooses beside the query. The module is light, because each cold start imports it."""

from enum import StrEnum
from typing import Any

import msgspec


class Format(StrEnum):
    """Format of a result file."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"

    @property
    def is_paged(self) -> bool:
        """Tell whether rows can be read in pages: each row is a line."""
        return self in (Format.JSON, Format.NDJSON)


class Numbers(StrEnum):
    """Form of the numbers in rows. JavaScript and others read numbers of JSON as floats, and lose digits without a word."""

    NUMBER = "number"
    TEXT = "text"


class ResultOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of one result. `format` is for a file, the others also count for an inline result."""

    format: Format = Format.JSON
    numbers: Numbers = Numbers.NUMBER
    row_limit: int | None = None
    """Most rows. Further rows are left out, and the result says that it is truncated."""
    byte_limit: int | None = None
    """Most bytes of rows, as they are written; for Parquet, as they would be in NDJSON."""

    def chosen(self) -> dict[str, Any]:
        """Give the options beside the format that are not the default. They tell requests and cached results apart."""
        return {
            name: value
            for name, value in msgspec.structs.asdict(self).items()
            if name != "format" and value != getattr(DEFAULTS, name)
        }


DEFAULTS = ResultOptions()
