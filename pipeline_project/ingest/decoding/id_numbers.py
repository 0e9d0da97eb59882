"""IDs that a file keeps as numbers with decimals, as Parquet and workbooks do."""

from collections.abc import Sequence
from decimal import Decimal
from math import isfinite
from typing import Any

from pipeline_project.ingest.decoding.records import Flaw

EXACT_FLOATS = 2**53
"""Integers from which a float does not hold each digit."""


def whole_ids(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> dict[int, Flaw]:
    """Make integers of IDs that are kept as 7.00. Return what is wrong with the others, by the place of their row."""
    flaws: dict[int, Flaw] = {}
    for name in columns:
        for place, row in enumerate(rows):
            value = row.get(name)
            if not isinstance(value, float | Decimal) or not isfinite(value):
                continue
            if isinstance(value, float) and abs(value) >= EXACT_FLOATS:
                flaws[place] = (
                    "id_lost_digits",
                    f"{name} is {value}, and a float has lost digits of it: export a text",
                )
            elif value != int(value):
                flaws[place] = (
                    "id_decimals",
                    f"{name} is {value}, which has decimals: export IDs as texts or integers",
                )
            else:
                row[name] = int(value)
    return flaws
